"""Of `capacity._explore`, in a real browser."""

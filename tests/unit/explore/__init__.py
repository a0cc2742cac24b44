"""Of `capacity._explore`."""

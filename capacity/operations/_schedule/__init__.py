"""Reports that run themselves: when, by what, and what became of them."""

"""Usage as sizing reads it."""

"""What is asked of a metrics server, in which order, and what becomes of failures."""

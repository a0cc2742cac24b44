"""Signals, the metrics that they are made of, and who exports these."""

"""Signals and who exports their metrics."""

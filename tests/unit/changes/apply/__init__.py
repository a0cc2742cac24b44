"""Applying plans, and going on with runs."""

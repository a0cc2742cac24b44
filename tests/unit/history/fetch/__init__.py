"""Fetching from a metrics server."""

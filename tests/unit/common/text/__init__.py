"""Texts: units, escaping, near misses."""

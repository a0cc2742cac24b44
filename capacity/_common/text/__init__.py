"""Texts: units, what is printable, escaping for each output, YAML, near misses."""

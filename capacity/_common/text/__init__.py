"""Texts: units, lengths of time, addresses, secrets, what is printable, escaping, YAML, typos."""

"""YAML with the place of every value, read as go-yaml reads it."""

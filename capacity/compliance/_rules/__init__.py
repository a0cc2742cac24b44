"""The rule book: read strictly, and the registry of checks its rules name."""

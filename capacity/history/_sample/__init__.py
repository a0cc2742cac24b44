"""The sample fleet and its history, made deterministically."""

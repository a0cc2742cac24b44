"""The journal and its chain."""

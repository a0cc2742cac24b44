"""Edits of compose files at the place of the values: only the changed lines change."""

"""Tests of capacity.changes."""

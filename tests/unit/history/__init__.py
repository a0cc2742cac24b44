"""Tests of capacity.history."""

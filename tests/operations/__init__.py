"""Tests of capacity.operations."""

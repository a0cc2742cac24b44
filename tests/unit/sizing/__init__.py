"""Tests of capacity.sizing."""

"""Tests of capacity.reporting."""

"""Tests of `capacity.compliance`."""

"""Tests of `capacity.inventory`."""

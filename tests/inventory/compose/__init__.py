"""Tests of `capacity.inventory.compose`."""

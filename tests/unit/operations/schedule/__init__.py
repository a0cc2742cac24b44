"""Tests of capacity.operations._schedule."""

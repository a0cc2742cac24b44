"""Tests of `capacity._docker`."""

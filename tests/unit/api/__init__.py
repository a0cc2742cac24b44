"""Tests of `capacity._api`."""

"""Tests: they mirror the library, and tests/stack runs against real servers."""

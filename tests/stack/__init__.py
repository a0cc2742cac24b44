"""Tests against real servers: they fail in CI when a server is missing and are skipped elsewhere."""

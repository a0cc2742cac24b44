"""The built-in checks: every module here registers its own."""

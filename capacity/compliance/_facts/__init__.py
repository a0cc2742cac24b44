"""Collect facts from compose files, engines and the monitoring, and what checks read."""

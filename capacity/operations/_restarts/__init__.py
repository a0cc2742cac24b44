"""Restart loops: who restarts, why, and which change would fix it."""

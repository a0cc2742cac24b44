"""Emergencies: free a host, restart what is critical, return to a revision, undo."""

"""Plans, their files and what they are exported to."""

"""Plans: what to change, their file, and what can be made of them without touching anything."""

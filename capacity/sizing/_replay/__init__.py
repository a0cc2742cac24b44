"""What limits would have done to the past: replay, frontier, evidence."""

"""Carry a plan out: check it, change service by service, watch, undo what went wrong."""

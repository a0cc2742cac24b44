"""Roll back a step or a whole run."""

"""The journal of runs: written before and after every change, read for rollback and history."""

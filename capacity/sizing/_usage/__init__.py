"""Usage as sizing reads it: checked frames, statistics, diagnoses, past peaks."""

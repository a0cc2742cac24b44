"""Usage as sizing reads it: checked frames, statistics, diagnoses, throttling, past peaks."""

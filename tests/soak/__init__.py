"""Monitor, collector, reports, applies and rollbacks at work for long, with faults at random:
`python -m tests.soak --seconds 1200 --seed 1`.
"""

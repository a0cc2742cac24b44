"""Policies to compare with: KRR, VPA, Autopilot and the linear plan, with the constants they ship
with.
"""

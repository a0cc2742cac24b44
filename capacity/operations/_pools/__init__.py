"""Pools of identical containers behind leases."""

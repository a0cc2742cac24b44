"""Policies: rules that turn the past into limits."""

"""The compliance monitor: a small service that evaluates the rules, shows the result, and tells
when it changes.
"""

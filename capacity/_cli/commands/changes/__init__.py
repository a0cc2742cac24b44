"""Commands of limit changes: plans, and applying them and rolling them back."""

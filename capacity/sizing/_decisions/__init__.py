"""What is decided for each service: its need, the budget of all, the action and its reason."""

"""What a series shows besides its level: starts, seasons, trend, change points, leaks."""

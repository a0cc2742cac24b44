"""What several reports compute: sums of limits, promises, days left, trends."""

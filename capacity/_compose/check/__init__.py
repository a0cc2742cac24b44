"""What Compose refuses: keys it does not know, values of the wrong kind, values that contradict
each other.
"""

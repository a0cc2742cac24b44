"""From a notebook to a finished page in its place."""

"""From a notebook to a page."""

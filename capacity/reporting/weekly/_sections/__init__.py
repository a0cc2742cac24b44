"""What the weekly page shows: one function a section, from a review to HTML."""

"""The checks of this house: every module here registers its own."""

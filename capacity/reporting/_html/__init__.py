"""HTML pieces, figures and number formats of pages."""

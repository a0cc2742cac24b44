"""Reports: notebooks run by papermill, rendered to one self-contained page."""

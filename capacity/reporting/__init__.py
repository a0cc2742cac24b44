"""Reports: notebooks run by papermill, rendered to one self-contained page."""

from capacity.reporting._remediation import remediation

__all__ = ["remediation"]

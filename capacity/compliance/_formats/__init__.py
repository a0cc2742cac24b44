"""A report for programs and pages: JSON, SARIF 2.1.0, JUnit XML, Markdown."""

from capacity.compliance._formats.json_report import as_json
from capacity.compliance._formats.junit import as_junit
from capacity.compliance._formats.markdown import as_markdown
from capacity.compliance._formats.sarif import as_sarif

__all__ = ["as_json", "as_junit", "as_markdown", "as_sarif"]

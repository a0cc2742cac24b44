"""Runbooks: a page a reason code and a rule, their addresses for alerts and findings, and the pages
as HTML.
"""

from __future__ import annotations

import re

from capacity._common.bundled import bundled

__all__ = ["HOME", "runbook", "runbook_html", "runbook_url"]

HOME = "https://github.com/capacity-notebooks/capacity-notebooks/blob/main/docs/runbooks/{code}.md"
"""Where the pages that come with the package can be read; a house puts its own wiki in its place.
"""

_CODE = re.compile(r"[A-Za-z0-9-]{1,64}")


def runbook(code: str) -> str | None:
    """The page of a rule such as `CAP001` or a reason such as `leak`, Markdown; None where the
    package has none.
    """
    if not _CODE.fullmatch(code):
        return None
    file = bundled("docs/runbooks") / f"{code}.md"
    return file.read_text(encoding="utf-8") if file.is_file() else None


def runbook_url(code: str, pattern: str | None = None) -> str | None:
    """Address of the page of a rule or a reason.

    Args:
        code: `CAP001`, `leak`.
        pattern: an address with `{code}` in it; default the project's own pages, and None for a
            code that they lack.
    """
    if pattern is None and runbook(code) is None:
        return None
    return (pattern or HOME).replace("{code}", code)


def runbook_html(code: str) -> str | None:
    """The page without its title as safe HTML, its headings as bold lines; None where the package
    has none.
    """
    text = runbook(code)
    if text is None:
        return None
    import mistune

    body = str(mistune.html(text.partition("\n")[2]))
    return re.sub(r"<(/?)h2>", lambda found: f"<{found[1]}h4>", body)

"""Runbooks: a section a rule, a reason and a cause of restarts, on three pages; their addresses for
alerts and findings, and the sections as HTML.
"""

from __future__ import annotations

import re
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from capacity._common.bundled import bundled

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HOME", "PAGES", "runbook", "runbook_html", "runbook_url"]

HOME = "https://github.com/capacity-notebooks/capacity-notebooks/blob/main/docs/runbooks/"
"""Where the pages that come with the package can be read; `report.runbooks` names your own."""

PAGES = ("rules", "reasons", "causes")
"""The pages, each with one section a code."""

_CODE = re.compile(r"[A-Za-z0-9-]{1,64}")
_SECTION = re.compile(r"^## (.+)\n((?:(?!## ).*\n?)*)", re.MULTILINE)
_SEE = re.compile(r"^See \[(?:.+\n)+", re.MULTILINE)
_ANCHOR = re.compile(r"\]\(#([a-z0-9-]+)\)")


def runbook(code: str) -> str | None:
    """The runbook of a rule such as `CAP001`, a reason such as `leak` or a cause of restarts such
    as `crash`, as Markdown: its section, and in it the shared ones that it links to. None where the
    package has none.
    """
    page = _page_of(code)
    if page is None:
        return None
    sections = _sections(page)
    shared = {_anchor(title): title for title in sections}

    def linked(see: re.Match[str]) -> str:
        titles = [shared[anchor] for anchor in _ANCHOR.findall(see[0])]
        return "\n\n".join(f"### {title}\n\n{sections[title]}" for title in titles) + "\n"

    body = _SEE.sub(linked, sections[code] + "\n")
    return f"# {code}\n\n" + re.sub("^### ", "## ", body, flags=re.MULTILINE)


def runbook_url(code: str, pattern: str | None = None) -> str | None:
    """Address of the runbook of a rule, a reason or a cause of restarts.

    Args:
        code: `CAP001`, `leak`.
        pattern: an address with `{code}` in it; default the project's own pages, and None for a
            code that they lack.
    """
    if pattern is not None:
        return pattern.replace("{code}", code)
    page = _page_of(code)
    return None if page is None else f"{HOME}{page}.md#{_anchor(code)}"


def runbook_html(code: str) -> str | None:
    """The runbook without its title as safe HTML, its headings of one low level; None where the
    package has none.
    """
    text = runbook(code)
    if text is None:
        return None
    import mistune

    body = str(mistune.html(text.partition("\n")[2]))
    return re.sub(r"<(/?)h2>", lambda found: f"<{found[1]}h4>", body)


def _page_of(code: str) -> str | None:
    if not _CODE.fullmatch(code):  # titles of shared sections have spaces
        return None
    return next((page for page in PAGES if code in _sections(page)), None)


@cache
def _sections(page: str) -> Mapping[str, str]:
    """Title -> text of the sections of a page."""
    text = (bundled("docs/runbooks") / f"{page}.md").read_text(encoding="utf-8")
    return MappingProxyType({title: body.strip() for title, body in _SECTION.findall(text)})


def _anchor(title: str) -> str:
    """The anchor that renderers of Markdown give a heading."""
    return title.lower().replace(" ", "-")

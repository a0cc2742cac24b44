"""From an executed notebook to one self-contained page, with our own nbconvert template.

nbconvert's own templates load scripts from the network and drop alt texts; this one asks for
nothing, forbids it by a content security policy, and follows the reader's colour scheme.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from capacity._common.text.escape import html_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from capacity.reporting._runs import ReportRun

__all__ = ["index_page", "page_policy", "render_page"]

_TEMPLATES = Path(__file__).parents[1] / "templates"
_HEADING = re.compile(
    r'<h2 id="([^"]*)">(.*?)(?:<a class="anchor-link"[^>]*>[^<]*</a>)?</h2>', re.DOTALL
)


def render_page(notebook: NotebookNode, title: str) -> str:
    """HTML of an executed notebook: its prose and results, without inputs, parameters and error
    streams.
    """
    from nbconvert.exporters import HTMLExporter
    from traitlets.config import Config

    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = {
        "parameters",
        "injected-parameters",
        "remove-cell",
    }
    exporter = HTMLExporter(
        config=config, template_name="page", extra_template_basedirs=[str(_TEMPLATES)]
    )  # type: ignore[no-untyped-call]  # nbconvert has no types
    resources = {
        "metadata": {"name": title},
        "style": _style(),
        "script": _script(),
        "policy": page_policy(),
    }
    body, _ = exporter.from_notebook_node(notebook, resources=resources)
    before, main, after = _parts(re.sub(r"\n\s*\n+", "\n", body))
    return before + _in_sections(main) + after


def page_policy() -> str:
    """The content security policy of a page: nothing from elsewhere, and the one script that is
    named by its hash.
    """
    digest = base64.b64encode(hashlib.sha256(_script().encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )


def _parts(page: str) -> tuple[str, str, str]:
    """What is before, in and after `<main>`."""
    start, end = page.index("<main>") + len("<main>"), page.rindex("</main>")
    return page[:start], page[start:end], page[end:]


def _in_sections(main: str) -> str:
    """Each heading with what follows as a part that can be folded, and a list of them that stays in
    view.
    """
    first, *others = _HEADING.split(main)
    found = list(zip(others[::3], others[1::3], others[2::3], strict=True))
    if not found:
        return main
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in found)
    parts = "".join(
        f'<details class="section" open><summary><h2 id="{name}">{title}</h2></summary>'
        f"{content}</details>"
        for name, title, content in found
    )
    return f'<nav class="contents" aria-label="Contents"><ul>{links}</ul></nav>{first}{parts}'


def index_page(runs: list[ReportRun]) -> str:
    """The page that lists all runs, newest first."""
    rows = "".join(
        f'<tr><th scope="row"><a href="{_link(run)}">{html_text(run.folder.name)}</a></th>'
        f"<td>{html_text(run.report)}</td><td>{run.as_of:%d %b %Y}</td>"
        f"<td>{html_text(str(run.facts.get('source', '')))}</td>"
        f"<td>{html_text(str(run.facts.get('verdict', '')))}</td>"
        f"<td class='number'>{run.facts.get('changes', '')}</td></tr>"
        for run in sorted(runs, key=lambda run: run.as_of, reverse=True)
    )
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("Run", "Report", "As of", "Source", "Data", "Proposed changes")
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Capacity '
        "reports</title>"
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src '
        "'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_style()}</style></head><body><main><h1>Capacity reports</h1>"
        "<div class='scroll'><table><caption>All runs, newest "
        f"first</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div></main></body></html>\n"
    )


def _script() -> str:
    return (_TEMPLATES / "page" / "page.js").read_text(encoding="utf-8")


def _style() -> str:
    return (_TEMPLATES / "page" / "page.css").read_text(encoding="utf-8")


def _link(run: ReportRun) -> str:
    from urllib.parse import quote

    return f"{quote(run.folder.name)}/{quote(run.report)}.html"

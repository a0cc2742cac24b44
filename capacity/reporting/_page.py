"""From an executed notebook to one self-contained page, with our own nbconvert template.

nbconvert's own templates load scripts from the network and drop alt texts; this one asks for
nothing, forbids it by a content security policy, and follows the reader's colour scheme.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from capacity._common.escape import html_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from capacity.reporting._runs import ReportRun

__all__ = ["index_page", "render_page"]

_TEMPLATES = Path(__file__).parent / "templates"


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
    body, _ = exporter.from_notebook_node(
        notebook, resources={"metadata": {"name": title}, "style": _style()}
    )
    return re.sub(r"\n\s*\n+", "\n", body)


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


def _style() -> str:
    return (_TEMPLATES / "page" / "page.css").read_text(encoding="utf-8")


def _link(run: ReportRun) -> str:
    from urllib.parse import quote

    return f"{quote(run.folder.name)}/{quote(run.report)}.html"

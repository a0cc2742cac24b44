"""A hook of mkdocs: what the documentation links to outside of `docs/` is part of the site as well.

Links are written as the code host follows them, relative to the file in the repository. In the site
such a file has its place under `repository/`, and links to and from it are turned accordingly.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
_DOCS, _OTHERS = "docs/", "repository/"
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)\s#]+)")
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every file outside of `docs/` that a page links to, and what those link to in turn."""
    waiting = [_repository_path(each.src_uri) for each in files.documentation_pages()]
    known = set(waiting)
    while waiting:
        page = waiting.pop()
        if not page.endswith(".md"):
            continue
        for link in _LINK.findall(_prose((ROOT / page).read_text(encoding="utf-8"))):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
            if target in known or target.startswith(_DOCS) or not (ROOT / target).is_file():
                continue
            known.add(target)
            waiting.append(target)
            place, source = _site_path(target), str(ROOT / target)
            files.append(File.generated(config, place, abs_src_path=source))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links that leave or enter `docs/` into those of the site."""
    here = _repository_path(page.file.src_uri)

    def turned(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), match.group()))
        if target.startswith(_DOCS) and here.startswith(_DOCS):
            return match.group()
        return os.path.relpath(_site_path(target), posixpath.dirname(page.file.src_uri))

    parts, last = [], 0
    for fence in _FENCED.finditer(markdown):
        parts += [_LINK.sub(turned, markdown[last : fence.start()]), fence.group()]
        last = fence.end()
    return "".join([*parts, _LINK.sub(turned, markdown[last:])])


def _prose(markdown: str) -> str:
    return _FENCED.sub("", markdown)


def _site_path(path: str) -> str:
    """Where a file of the repository is in the site."""
    return path.removeprefix(_DOCS) if path.startswith(_DOCS) else _OTHERS + path


def _repository_path(path: str) -> str:
    """Which file of the repository a file of the site is."""
    return path.removeprefix(_OTHERS) if path.startswith(_OTHERS) else _DOCS + path

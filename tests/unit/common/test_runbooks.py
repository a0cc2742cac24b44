"""Runbooks: found by code, linked by address, shown as HTML."""

from __future__ import annotations

import re

import pytest

from capacity._common.runbooks import HOME, PAGES, runbook, runbook_html, runbook_url
from capacity.compliance import load_rules
from capacity.model import Reason
from capacity.operations._restarts.causes import BY_STATE, load_causes

CODES = {
    "rules": [rule.id for rule in load_rules()],
    "reasons": [*map(str, Reason)],
    "causes": [*BY_STATE, *dict.fromkeys(cause.cause for cause in load_causes())],
}


@pytest.mark.parametrize(
    ("page", "code"), [(page, code) for page, codes in CODES.items() for code in codes]
)
def test_every_code_has_a_runbook_and_an_address(page: str, code: str) -> None:
    """Also as HTML: how to look, fix and roll back; no Markdown and no link to another section."""
    shown = runbook_html(code)
    assert shown is not None
    headings = re.findall(r"<h4>(How to \w+)", shown)
    assert [headings[0], headings[1], headings[-1]] == ["How to look", "How to fix", headings[-1]]
    assert headings[-1] in {"How to roll", "How to leave"}
    assert "```" not in shown
    assert "href" not in shown
    assert runbook_url(code) == f"{HOME}{page}.md#{code.lower()}"


def test_no_code_is_on_two_pages() -> None:
    """A code alone says which runbook is meant."""
    codes = [code for page in PAGES for code in CODES[page]]
    assert len(codes) == len({code.lower() for code in codes})


@pytest.mark.parametrize(
    "code", ["CAP999", "cap001", "README", "How to fix", "../index", "", "a/b", "x" * 100]
)
def test_other_codes_have_none(code: str) -> None:
    """No runbook, no address, no file outside the folder; your own pages may be anywhere."""
    assert runbook(code) is None
    assert runbook_html(code) is None
    assert runbook_url(code) is None
    assert runbook_url(code, "https://wiki/{code}") == f"https://wiki/{code}"

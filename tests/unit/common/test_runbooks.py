"""Runbooks: found by code, linked by address, shown as HTML."""

from __future__ import annotations

import pytest

from capacity._common.runbooks import HOME, runbook, runbook_html, runbook_url
from capacity.compliance import load_rules
from capacity.model import Reason
from capacity.operations._restarts.causes import BY_STATE, load_causes

CAUSES = [*BY_STATE, *(cause.cause for cause in load_causes())]


@pytest.mark.parametrize("code", [*map(str, Reason), *CAUSES, *(rule.id for rule in load_rules())])
def test_every_code_has_a_page_and_an_address(code: str) -> None:
    """Also as HTML, with its headings and nothing of the Markdown left."""
    page = runbook_html(code)
    assert page is not None
    assert page.count("<h4>") == 4
    assert "```" not in page
    assert runbook_url(code) == HOME.format(code=code)


@pytest.mark.parametrize("code", ["CAP999", "../index", "", "a/b", "x" * 100])
def test_other_codes_have_none(code: str) -> None:
    """No page, no address, no file outside the folder; a house's own pages may be anywhere."""
    assert runbook(code) is None
    assert runbook_html(code) is None
    assert runbook_url(code) is None
    assert runbook_url(code, "https://wiki/{code}") == f"https://wiki/{code}"

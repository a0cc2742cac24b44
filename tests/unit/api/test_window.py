"""Windows of history, and what settings say of services that are not in them."""

from __future__ import annotations

import pytest

from capacity import open_history
from capacity.settings import ServiceSettings, Settings


@pytest.mark.parametrize(
    ("glob", "said"),
    [
        ("shop/catlog", "services shop/catlog are of no service; did you mean shop/catalog"),
        ("nope/*", "services nope/* are of no service"),
        ("shop/*", ""),
        ("shop/catalog", ""),
    ],
)
def test_settings_of_services_that_are_not_there_are_named(
    glob: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A misspelt name would lose its protection without a word."""
    settings = Settings(services={glob: ServiceSettings(pinned=True)})
    open_history("sample", settings=settings)
    assert said in caplog.text
    assert bool(said) is ("of no service" in caplog.text)

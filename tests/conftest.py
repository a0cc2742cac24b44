"""What holds for every test: no settings of the person at the keyboard, properties without a
stopwatch, marks for the servers it needs, and what all tests share.
"""

from __future__ import annotations

import os
import signal

import hypothesis
import pytest

from tests.fixtures.marks import servers_of

hypothesis.settings.register_profile(
    "here",
    deadline=None,  # machines are shared
    max_examples=60,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("here")

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # a run in the background of a script; the processes we start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove settings and proxies that would reach the code under test through the environment."""
    for name in list(os.environ):
        if name.startswith("CAPACITY_") or name.lower() in {
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "requests_ca_bundle",
        }:
            monkeypatch.delenv(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the servers that it starts."""
    for item in items:
        for name in sorted(servers_of(item)):
            item.add_marker(name)

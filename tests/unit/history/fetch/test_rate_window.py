"""How far rates look back: a window holds two scrapes at least, whichever end of it is open."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from capacity.history._fetch.fetch import _window
from capacity.settings import Settings

STEPS = st.sampled_from([60, 300, 600, 3600])


@given(st.integers(1, 3600), st.none() | st.integers(1, 7200), STEPS, st.integers(0, 3600))
def test_a_rate_sees_two_samples(scrape: int, chosen: int | None, step: int, offset: int) -> None:
    """Of scrapes at any offset, Prometheus 3 counts those after the window's beginning alone."""
    settings = Settings(prometheus={"rate_window": chosen}, report={"step": step})
    window = _window(settings, scrape)
    end = 1_000_000
    scrapes = range(offset % scrape, end + 1, scrape)
    assert sum(end - window < at <= end for at in scrapes) >= 2
    assert chosen is None or window >= chosen

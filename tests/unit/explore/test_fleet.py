"""A fleet whose services are asked for by name."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt

from capacity import open_history
from capacity._explore import Fleet, FleetService
from capacity._explore.risk import RISKS, risks_side_by_side
from capacity.changes import read_plan
from capacity.errors import InputError
from capacity.history import History
from capacity.model import Resource, Signal

mpl.use("Agg")


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    """The sample."""
    return open_history("sample")


def service(fleet: Fleet, name: str) -> FleetService:
    """One of it, as its index gives it."""
    found = fleet[name]
    assert isinstance(found, FleetService)
    return found


def test_a_name_gives_a_service_and_a_signal_its_frame(fleet: Fleet) -> None:
    """Both by the same brackets; the fleet is a `History` in everything else."""
    assert isinstance(fleet, History)
    assert fleet["memory"] is fleet[Signal.MEMORY]
    used = service(fleet, "ai/ollama").usage
    assert list(used.columns) == ["cpu", "memory"]
    pd.testing.assert_series_equal(used["cpu"], fleet.cpu["ai/ollama"], check_names=False)
    completions = fleet._ipython_key_completions_()
    assert {"ai/ollama", "memory"} <= set(completions)


def test_a_service_has_what_the_calls_say(fleet: Fleet) -> None:
    """Forecast, limit, reasons and past are those of the whole fleet's calls."""
    ollama = service(fleet, "ai/ollama")
    for resource in Resource:
        row = ollama.recommend(resource)
        assert row["limit"] == fleet.recommend(resource).table["limit"]["ai/ollama"]
    assert ollama.forecast("cpu").shape[0] == 168
    assert set(ollama.replay("cpu")["service"]) == {"ai/ollama"}
    assert "chance that it passes the limit" in repr(ollama.why("cpu"))
    assert "<table" in ollama.why("cpu")._repr_html_()
    assert "no limit -> " in repr(ollama)
    assert "<b>ai/ollama</b>" in ollama._repr_html_()
    assert np.isnan(ollama.limits["cpu"])


@pytest.mark.parametrize(
    ("name", "near"), [("ai/olama", "ai/ollama"), ("ollama", "ai/ollama"), ("redis", "shop/redis")]
)
def test_a_mistaken_name_is_one_line_with_the_next_step(fleet: Fleet, name: str, near: str) -> None:
    """By brackets, by recommendations, by forecasts."""
    for asked in (fleet, fleet.recommend(), fleet.forecast()):
        with pytest.raises(InputError) as error:
            asked[name]
        assert near in str(error.value)
        assert "\n" not in str(error.value)


def test_other_mistakes_are_the_librarys_errors(fleet: Fleet) -> None:
    """A resource that is none, a length that is none, a policy that is none."""
    ollama = service(fleet, "ai/ollama")
    for call in (
        lambda: ollama.plot("disk"),
        lambda: ollama.recommend("disk"),
        lambda: ollama.forecast(horizon="soon"),
        lambda: ollama.recommend(policy="none"),
        lambda: fleet.compare(["no/such"]),
    ):
        with pytest.raises(InputError):
            call()


@given(st.floats(0.1, 5))
def test_what_if_scales_the_peaks_alone(fleet: Fleet, growth: float) -> None:
    """Sizes and limits stay, peaks grow by the factor, and what fits follows."""
    now, then = fleet.what_if(), fleet.what_if(growth)
    for part in ("cpu, cores", "memory, GiB"):
        before, after = now[part], then[part]
        assert isinstance(before, pd.DataFrame)
        assert isinstance(after, pd.DataFrame)
        assert after["peaks"].to_numpy() == pytest.approx(
            before["peaks"].to_numpy() * growth, abs=0.02 * max(1.0, growth)
        )
        assert (after["size"] == before["size"]).all()
        assert (after["limits"] == before["limits"]).all()
    with pytest.raises(InputError):
        fleet.what_if(-growth)


@pytest.mark.parametrize("resource", list(Resource))
def test_the_slider_moves_the_limit(fleet: Fleet, resource: Resource) -> None:
    """Less risk, no lower limit; the widget draws anew, and without it risks stand side by side."""
    web = service(fleet, "shop/search")
    limits = [float(web.recommend(resource, risk=risk)["limit"]) for risk in RISKS]
    known = [limit for limit in limits if np.isfinite(limit)]
    assert known == sorted(known)
    widget = web.slide(resource)
    slider, picture = widget.children
    drawn = set()
    for risk in RISKS:
        slider.value = risk
        drawn.add(bytes(picture.value))
    assert len(drawn) == len(RISKS)
    assert all(each.startswith(b"\x89PNG") for each in drawn)
    usage = web.usage[str(resource)]
    figure = risks_side_by_side(usage, dict(zip(RISKS, limits, strict=True)), resource)
    for axes, risk in zip(figure.axes, (0.1, 0.02, 0.005), strict=True):
        assert axes.get_title().startswith(f"risk {risk:.1%}: ")
    plt.close("all")


def test_plots_have_titles_units_and_legends(fleet: Fleet) -> None:
    """One service, its forecast, and small multiples of several."""
    assert service(fleet, "shop/redis").plot_rhythm("cpu").get_title()
    single = service(fleet, "shop/redis").plot("memory")
    forecast = fleet.forecast("memory").plot("shop/redis")
    several = fleet.compare(["shop/*", "ai/ollama"], "cpu")
    assert len(several) == len(fleet.select("shop/*").services) + 1
    for axes in (single, forecast, *several):
        assert axes.get_title()
        legend = axes.get_legend()
        assert legend is not None
        assert "used" in [text.get_text() for text in legend.get_texts()]
    plt.close("all")


def test_recommendations_become_a_plan(fleet: Fleet, tmp_path: Path) -> None:
    """Every proposed change, and nothing else."""
    made = fleet.recommend("memory")
    written = made.to_plan(tmp_path / "plan.yaml")
    assert read_plan(tmp_path / "plan.yaml") == written
    assert {change.service for change in written.changes} == set(made.changes.index)
    assert repr(made).startswith("<Recommendations memory: 45 services")
    assert written.valid_until > datetime.now(UTC)  # the sample does not age


def test_a_view_of_some_services_keeps_its_names(fleet: Fleet) -> None:
    """`select` and `between` give fleets, with limits from what they see."""
    shop = fleet.select("shop/*")
    assert isinstance(shop, Fleet)
    assert isinstance(shop["shop/redis"], FleetService)
    with pytest.raises(InputError):
        shop["ai/ollama"]
    earlier = fleet.between(fleet.start, fleet.end - pd.Timedelta("7D"))
    assert isinstance(earlier, Fleet)
    assert earlier.forecast().bands.index[0] < fleet.forecast().bands.index[0]


@pytest.mark.slow
def test_the_first_answers_come_soon() -> None:
    """Opening the sample and looking at one service takes a few seconds at most, also on a busy
    machine.
    """
    start = time.monotonic()
    repr(open_history("sample")["ai/ollama"])
    assert time.monotonic() - start < 10


def test_what_if_gives_each_host_its_share_of_a_service_on_two(fleet: Fleet) -> None:
    """There is no host "dock1,dock2": half of its replicas count on each."""
    whole = fleet.whole()
    name = next(name for name in whole.services if whole.running()[name])
    spread = replace(fleet, hosts={**fleet.hosts, name: "dock1,dock2"})
    before, after = fleet.what_if()["memory, GiB"], spread.what_if()["memory, GiB"]
    assert set(after.index) == {"dock1", "dock2"}
    assert after["peaks"].sum() == pytest.approx(before["peaks"].sum(), abs=0.02)
    assert after["size"].isna()["dock2"]

"""The calls of a notebook cell: what they return, how it shows itself, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.axes import Axes

import capacity
from capacity import _api, forecast, open_history, recommend
from capacity._common.bundled import bundled
from capacity.errors import InputError
from capacity.history._sample.generate import SAMPLE_END
from capacity.model import Signal
from capacity.reporting._render.notebook import run_notebook
from capacity.settings import Settings, load_settings
from tests.fixtures.frames import float_at


@pytest.fixture(autouse=True)
def _no_window() -> Iterator[None]:
    """Figures are drawn into memory and closed."""
    from matplotlib import pyplot as plt

    with mpl.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def test_the_package_exports_three_calls() -> None:
    """`from capacity import *` is the calls and the version, and an unknown name is an
    AttributeError.
    """
    assert set(capacity.__all__) == {"__version__", "forecast", "open_history", "recommend"}
    with pytest.raises(AttributeError, match="forcast"):
        _ = capacity.forcast


def test_from_history_to_limits_in_three_lines() -> None:
    """Each result is plain frames, shows itself as a table, and plots onto matplotlib axes."""
    history = open_history("sample", services="shop/*")
    assert set(history.services) == {name for name in history.services if name.startswith("shop/")}
    needs, limits = forecast(history, "memory"), recommend(history, "memory")
    assert needs.bands.columns.names == ["service", "quantile"]
    assert needs.bands.index[0] > history.memory.index[-1]
    assert limits.changes["limit"].notna().all()
    for shown in (history, needs, limits):
        assert "<table" in shown._repr_html_()
    for axes in (
        history.plot("shop/catalog"),
        history.plot("shop/search", signal="throttled"),
        needs.plot("shop/catalog"),
        limits.plot(),
    ):
        assert isinstance(axes, Axes)
    assert repr(history).startswith("<History sample:")


def test_plots_land_on_the_axes_given() -> None:
    """A caller's own axes are used and returned."""
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert open_history("sample").plot("ai/ollama", axes=axes, signal="cpu") is axes
    assert axes.get_ylim()[0] == 0


@pytest.mark.parametrize(
    ("call", "cause"),
    [
        (lambda: open_history("sample", window="soon"), "no length of time"),
        (lambda: open_history("sample", window="0D"), "above zero"),
        (lambda: open_history("sample", as_of="now-ish"), "is no time"),
        (
            lambda: open_history("no-such-source", settings=_settings()),
            "No history of no-such-source",
        ),
        (lambda: forecast(open_history("sample"), "disk"), "neither cpu nor memory"),
        (lambda: forecast(open_history("sample")).plot("shop/none"), "no forecast of shop/none"),
    ],
)
def test_wrong_questions_are_input_errors(call: object, cause: str) -> None:
    """The message names what was wrong."""
    with pytest.raises(InputError, match=cause):
        call()  # type: ignore[operator]  # parametrised with calls


def _settings() -> Settings:
    return load_settings(archive__path=Path("/nonexistent-archive"))


def test_a_glob_that_fits_nothing_is_said() -> None:
    """It is no empty report."""
    with pytest.raises(InputError, match="No service matches"):
        open_history("sample", services="none/*")


def test_times_are_utc_unless_they_say_otherwise() -> None:
    """Naive text is UTC, an offset is honoured."""
    assert _api.parse_time("2026-11-23T06:00") == pd.Timestamp("2026-11-23 06:00", tz="UTC")
    assert _api.parse_time("2026-11-23T06:00+02:00") == pd.Timestamp("2026-11-23 04:00", tz="UTC")


def test_history_reads_limits_as_they_were_last() -> None:
    """A lifted limit does not linger, and a stopped service is told from a silent fleet."""
    history = open_history("sample")
    frames = dict(history.frames)
    lifted = frames[Signal.MEMORY_LIMIT].copy()
    lifted.loc[lifted.index >= history.end - pd.Timedelta("1D"), "shop/redis"] = float("nan")
    frames[Signal.MEMORY_LIMIT] = lifted
    changed = replace(history, frames=frames)
    assert pd.notna(history.limits("memory")["shop/redis"])
    assert pd.isna(changed.limits("memory")["shop/redis"])
    assert not history.running()["data/exporter-old"]
    assert history.running().sum() == 44
    assert history.fingerprint() != changed.fingerprint()
    assert history.fingerprint() == open_history("sample").fingerprint()


@pytest.mark.slow
def test_the_explore_notebook_runs(tmp_path: Path) -> None:
    """Run all works from top to bottom, and a figure comes out."""
    done = run_notebook(
        bundled("notebooks/explore.ipynb"),
        {"plan": str(tmp_path / "plan.yaml")},
        failed=tmp_path / "failed.ipynb",
        timeout=600,
    )
    pictures = [
        output
        for cell in done.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 4
    assert (tmp_path / "plan.yaml").is_file()


def test_what_people_know_reaches_the_forecaster() -> None:
    """Globs in the settings become the forecaster's arguments, service by service, and exclusion is
    a reason.
    """
    known = Settings.model_validate(
        {
            "forecast": {"holidays": [["2026-11-11T00:00:00Z", "2026-11-12T00:00:00Z"]]},
            "services": {
                "shop/c*": {
                    "change_points": ["2026-11-10T10:00:00"],
                    "ignore": [["2026-11-03T04:00:00Z", "2026-11-03T06:00:00Z"]],
                },
                "data/exporter-old": {"exclude": True},
            },
        }
    )
    history = open_history("sample", services=["shop/*", "data/*"])
    made = forecast(history, "memory", settings=known)
    assert {name for name, _ in made.model.change_points} == {
        "shop/cart",
        "shop/catalog",
        "shop/checkout",
    }
    assert {name for name, _, _ in made.model.ignore} == {
        "shop/cart",
        "shop/catalog",
        "shop/checkout",
    }
    assert made.skipped["data/exporter-old"] == "excluded"
    assert len(made.model.holidays) == 1
    assert (
        recommend(history, "memory", settings=known).table.loc["data/exporter-old", "reason"]
        == "excluded"
    )


def test_a_known_deploy_rules_out_peaks_of_the_level_before() -> None:
    """Naming checkout's deploy makes the forecast forget the lower level before it."""
    history = open_history("sample", services="shop/*", as_of="2026-11-16")
    known = Settings.model_validate(
        {"services": {"shop/checkout": {"change_points": ["2026-11-10T10:00:00Z"]}}}
    )
    plain, told = (
        forecast(history, "memory", settings=each).peaks.loc["shop/checkout"]
        for each in (Settings(), known)
    )
    before = history.memory["shop/checkout"].loc[: pd.Timestamp("2026-11-10T10:00Z")].max()
    assert plain[0.1] < before < told[0.1]


def test_a_choice_of_services_changes_no_answer() -> None:
    """Forecasts learn from the whole fleet; a glob only chooses what is shown."""
    whole, shop = open_history("sample"), open_history("sample", services="shop/*")
    for signal in ("cpu", "memory"):
        every, some = recommend(whole, signal).table, recommend(shop, signal).table
        assert len(some) == 14
        pd.testing.assert_frame_equal(every.loc[some.index], some)
        pd.testing.assert_frame_equal(
            forecast(whole, signal).peaks.loc[some.index.drop("shop/ab-testing")],
            forecast(shop, signal).peaks,
        )
    assert shop.whole().services == whole.services


def test_kills_under_an_older_limit_raise_nothing_again() -> None:
    """Once the proposal is applied and holds, the next run does not ask for more: no ratchet."""
    history = open_history("sample")
    applied = history.end - pd.Timedelta("10D")
    frames = {signal: frame.copy() for signal, frame in history.frames.items()}
    proposed = float_at(recommend(history, "memory").table, "shop/thumbnailer", "limit")
    for signal, service, value in (
        (Signal.MEMORY_LIMIT, "shop/thumbnailer", proposed),
        (Signal.OOM_KILLS, "shop/thumbnailer", 0.0),
        (Signal.CPU_LIMIT, "shop/search", 1.5),
        (Signal.THROTTLED, "shop/search", 0.0),
    ):
        frames[signal].loc[frames[signal].index >= applied, service] = value
    changed = replace(history, frames=frames)
    assert recommend(history, "memory").table.loc["shop/thumbnailer", "reason"] == "oom-killed"
    assert recommend(changed, "memory").table.loc["shop/thumbnailer", "reason"] != "oom-killed"
    assert recommend(changed, "cpu").table.loc["shop/search", "reason"] != "throttled"


def test_unknown_limits_are_not_called_missing() -> None:
    """A source without limit metrics gets sizes, and no word about services without limits."""
    history = open_history("sample")
    queries = {signal: text for signal, text in history.queries.items() if "limit" not in signal}
    frames = {signal: frame for signal, frame in history.frames.items() if "limit" not in signal}
    imported = replace(history, queries=queries, frames=frames)
    reasons = set(recommend(imported, "memory").table["reason"])
    assert "limit-unknown" in reasons
    assert "unlimited" not in reasons


def test_a_service_in_a_restart_loop_is_not_sized() -> None:
    """Its usage is not that of a running service, in both resources."""
    for signal in ("cpu", "memory"):
        row = recommend(open_history("sample"), signal).table.loc["platform/webhook-relay"]
        assert (row["action"], row["reason"]) == ("none", "unstable")
        assert pd.isna(row["limit"])


def test_the_sample_ends_where_it_ends() -> None:
    """A moment beyond its end is refused with the moments that it has; its end itself is not."""
    assert open_history("sample", as_of="2026-11-23").end == SAMPLE_END
    with pytest.raises(InputError, match="beyond the sample fleet") as refused:
        open_history("sample", as_of="2026-11-23T00:05")
    assert "2026-10-19 to 2026-11-23" in refused.value.hint

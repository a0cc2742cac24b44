"""The evidence of one service, and what its page must not say of one that was killed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure

from capacity import _api
from capacity._common.plotting import plot_frontier
from capacity.history._validity import DroppedSamples, DropReason
from capacity.model import Resource, Signal
from capacity.reporting import weekly
from capacity.reporting._explain.explain import explain_service
from capacity.reporting._explain.explain_text import explanation_lines
from capacity.reporting.weekly._sections import evidence
from capacity.settings import Settings
from tests.fixtures.commands import capacity_here
from tests.fixtures.frames import float_at

KILLED = "shop/thumbnailer"


def test_a_killed_service_was_not_never_breached() -> None:
    """The kills stand beside the limit in force and beside the seed's, which is no higher; not
    beside those that are higher.
    """
    found = explain_service(_api.open_history("sample"), KILLED, Resource.MEMORY, Settings())
    assert found.struck["current"][0] == found.events["oom_kills"] > 0
    assert found.struck["limit"] == (0.0, 0.0)
    assert float_at(found.replay, "seed", "kills") > 0
    assert float_at(found.replay, "krr", "kills") == 0


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        (Resource.MEMORY, "stalled for memory 30% of the time, waited for memory 40% of the time"),
        (Resource.CPU, "waited for CPU 50% of the time"),
    ],
)
def test_pressure_is_told_where_the_kernel_says_it(resource: Resource, said: str) -> None:
    """The longest stalls stand with the events; without pressure stall information no line is."""
    history = _api.open_history("sample")
    found = explain_service(history, KILLED, resource, Settings())
    assert not any("pressure" in line for line in explanation_lines(found))
    shares = {"memory_stalled": 0.3, "memory_waiting": 0.4, "cpu_waiting": 0.5}
    told = replace(found, events=found.events | shares)
    (line,) = [line for line in explanation_lines(told) if "pressure" in line]
    assert said in line


def test_the_page_tells_of_kills_first(shop_review: weekly.WeeklyReview) -> None:
    """The evidence begins with the killed service and says how often it was killed instead of a
    bare never.
    """
    page = str(evidence.evidence(shop_review))
    first = re.search(r'<tr><th scope="row">(.*?)</tr>', page)
    assert first is not None
    assert first[1].startswith(KILLED)
    assert "never in samples, but 34 kills" in first[1]


def test_words_beside_samples() -> None:
    """Nothing is added to what no strike contradicts; one kill is no kills."""
    said = evidence.beside_samples
    assert said("never", (0.0, 0.0), Resource.MEMORY) == "never"
    assert said("-", (3.0, 0.0), Resource.MEMORY) == "-"
    assert said("0", (1.0, 50.0), Resource.MEMORY) == "0 in samples, but 1 kill"
    assert (
        said("2 x, 10 min", (0.0, 1500.0), Resource.CPU) == "2 x, 10 min, and 1,500 min throttled"
    )


def test_why_takes_risk_policy_and_horizon(tmp_path: Path) -> None:
    """`--why` answers for the policy, risk and horizon asked for, and prints the kills in the line
    of the limit in force.
    """
    asked = ("--policy", "vpa", "--risk", "0.1", "--horizon", "3D")
    done = capacity_here(
        "recommend", KILLED, "--sample", "--why", *asked, "--json", folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    for each in json.loads(done.stdout):
        assert each["horizon"] == "3D"
        assert next(iter(each["policies"])) == "vpa"
    plain = capacity_here("recommend", KILLED, "--sample", "--why", *asked, folder=tmp_path)
    assert plain.returncode == 0, plain.stderr
    assert "never in samples, but 34 kills now" in plain.stdout
    assert "peak over 3D" in plain.stdout


def test_names_on_the_frontier_stand_apart() -> None:
    """Marks that all but coincide still have names that do not overprint each other."""
    rows = {("capacity", risk): (1.0 + risk, 0.02) for risk in (0.01, 0.02, 0.05)}
    rows |= {
        ("krr", 0.01): (1.05, 0.021),
        ("autopilot", 0.01): (1.051, 0.021),
        ("vpa", 0.01): (1.049, 0.02),
        ("seed", 0.01): (2, 0),
    }
    points = pd.DataFrame(rows, index=["total", "breached"]).T.rename_axis(["policy", "risk"])
    with mpl.rc_context({"font.size": 9}):
        canvas = Figure(figsize=(9, 3), layout="constrained")
        axes = plot_frontier(points, axes=canvas.subplots())
        canvas.draw_without_rendering()
        boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 7
    assert not [
        1 for place, box in enumerate(boxes) for other in boxes[:place] if box.overlaps(other)
    ]


def test_why_keeps_to_one_resource_where_one_is_named(tmp_path: Path) -> None:
    """`--signal cpu` explains the CPU limit alone; a leak says when it reaches its limit."""
    done = capacity_here(
        "recommend", KILLED, "--sample", "--why", "--signal", "cpu", "--json", folder=tmp_path
    )
    assert [each["resource"] for each in json.loads(done.stdout)] == ["cpu"]
    leak = capacity_here("recommend", "shop/catalog", "--sample", "--why", folder=tmp_path)
    assert re.search(r"it leaks, and reaches (that|its) limit in \d+ days", leak.stdout)


def test_what_was_dropped_is_told_of_the_service_it_was_dropped_of() -> None:
    """By reason, and only of the resource that is explained."""
    history = replace(
        _api.open_history("sample"),
        dropped=(
            DroppedSamples(Signal.MEMORY, KILLED, DropReason.ABOVE_HOST, 3),
            DroppedSamples(Signal.CPU, KILLED, DropReason.NEGATIVE, 2),
            DroppedSamples(Signal.MEMORY, "shop/web", DropReason.NEGATIVE, 1),
        ),
    )
    found = explain_service(history, KILLED, Resource.MEMORY, Settings())
    assert found.dropped == {DropReason.ABOVE_HOST: 3}

"""`capacity._api.fleet_in_blocks`: a fleet in blocks is the fleet as a whole, to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacity._api import (
    open_history,
    prepare_window,
    recommend,
    recommend_in_blocks,
    wants_blocks,
)
from capacity._api.runners import Runner, local_runner
from capacity.errors import InputError, NoHistory
from capacity.model import Resource
from capacity.settings import Settings, override
from tests.fixtures.fleets.archived_fleets import END, archived_fleet

T = TypeVar("T")
R = TypeVar("R")
OFFICE = {"shop1/*": {"business_hours": [8, 18]}, "shop2/service008": {"risk_class": "critical"}}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings that read the archive of a fleet."""
    return archived_fleet(tmp_path_factory.mktemp("archive"))


def whole(fleet: Settings, resource: Resource) -> pd.DataFrame:
    """The recommendation from the whole history at once."""
    history = open_history("lab", as_of=END, offline=True, settings=fleet)
    return recommend(history, resource, settings=fleet).table


def in_blocks(
    fleet: Settings, resource: Resource, size: int, runner: Runner | None = None
) -> pd.DataFrame:
    """The same from blocks."""
    sized = override(fleet, "compute__block", size)
    window = prepare_window(sized, source="lab", as_of=END, offline=True)
    return recommend_in_blocks(window, resource, settings=sized, runner=runner).table


def shuffled(seed: int) -> Runner:
    """One block after the other, in some order."""

    def run(work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        for number in np.random.default_rng(seed).permutation(len(tasks)).tolist():
            yield number, work(tasks[number])

    return run


@pytest.fixture(scope="module")
def wholes(fleet: Settings) -> dict[Resource, pd.DataFrame]:
    """What the whole history gives."""
    return {resource: whole(fleet, resource) for resource in Resource}


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(size=st.integers(1, 20), seed=st.integers(0, 99), resource=st.sampled_from(Resource))
def test_size_and_order_of_blocks_change_no_bit(
    fleet: Settings,
    wholes: dict[Resource, pd.DataFrame],
    size: int,
    seed: int,
    resource: Resource,
) -> None:
    """Blocks of one service or of all, the last one first: what the whole history gives."""
    found = in_blocks(fleet, resource, size, shuffled(seed))
    pd.testing.assert_frame_equal(found, wholes[resource], check_exact=True)


@pytest.mark.parametrize("resource", Resource)
def test_threads_change_no_bit(
    fleet: Settings, wholes: dict[Resource, pd.DataFrame], resource: Resource
) -> None:
    """Two at once give what one after the other gives."""
    found = in_blocks(fleet, resource, 5, local_runner(2))
    pd.testing.assert_frame_equal(found, wholes[resource], check_exact=True)


@pytest.mark.parametrize(
    ("resource", "share"),
    [(Resource.MEMORY, 0.97), (Resource.MEMORY, 1.3), (Resource.CPU, 1.3)],
)
def test_a_budget_is_shared_out_over_all_blocks(
    fleet: Settings, wholes: dict[Resource, pd.DataFrame], resource: Resource, share: float
) -> None:
    """Blocks of five, the order mixed: the limits, and the least of each, of the whole history."""
    plain = wholes[resource]
    budget = share * float(plain["limit"].fillna(plain["current"]).sum())
    history = open_history("lab", as_of=END, offline=True, settings=fleet)
    expected = recommend(history, resource, settings=fleet, budget=budget)
    sized = override(fleet, "compute__block", 5)
    window = prepare_window(sized, source="lab", as_of=END, offline=True)
    made = recommend_in_blocks(
        window, resource, settings=sized, budget=budget, runner=shuffled(int(100 * share))
    )
    pd.testing.assert_frame_equal(made.table, expected.table, check_exact=True)
    assert "least" in made.table
    assert not made.table["limit"].equals(plain["limit"])
    assert {**made.history.replicas} == {**history.replicas}


def test_a_budget_for_some_services_is_not_shared_out_in_blocks(fleet: Settings) -> None:
    """It would be theirs alone, which a fleet in blocks does not look at."""
    window = prepare_window(fleet, source="lab", as_of=END, offline=True)
    with pytest.raises(InputError, match="as a whole"):
        recommend_in_blocks(window, settings=fleet, budget=1e12, services="shop1/*")
    with pytest.raises(InputError, match="budget of"):
        recommend_in_blocks(window, settings=fleet, budget=-1.0)


def test_several_sources_are_one_fleet_in_blocks(tmp_path: Path) -> None:
    """One of them was last asked a day ago: what it measures has not stopped for that."""
    archived_fleet(tmp_path, services=15, source="annex", days=15)
    both = archived_fleet(tmp_path, services=13)
    history = open_history("lab,annex", as_of=END, offline=True, settings=both)
    sized = override(both, "compute__block", 4)
    window = prepare_window(sized, source="lab,annex", as_of=END, offline=True)
    made = recommend_in_blocks(window, Resource.MEMORY, settings=sized)
    expected = recommend(history, Resource.MEMORY, settings=both).table
    pd.testing.assert_frame_equal(made.table, expected, check_exact=True)
    late = [note for note in history.notes if note.startswith("annex has no samples after")]
    assert late
    assert set(late) <= set(made.history.notes)


def test_rules_of_single_services_hold_in_blocks(fleet: Settings) -> None:
    """Business hours of some services, and a risk class of one, are those of the whole history."""
    ruled = Settings(**{**fleet.model_dump(exclude_unset=True), "services": OFFICE})
    found = in_blocks(ruled, Resource.CPU, 4)
    pd.testing.assert_frame_equal(found, whole(ruled, Resource.CPU), check_exact=True)


@pytest.mark.parametrize("size", [1, 5])
def test_dropped_samples_are_told_in_blocks(fleet: Settings, size: int) -> None:
    """Which samples cannot be true, of whom and how many, is what the whole history says."""
    history = open_history("lab", as_of=END, offline=True, settings=fleet)
    sized = override(fleet, "compute__block", size)
    window = prepare_window(sized, source="lab", as_of=END, offline=True)
    made = recommend_in_blocks(window, Resource.MEMORY, settings=sized).history
    assert len(history.dropped) >= 2
    assert set(made.dropped) == set(history.dropped)
    told = {note for note in history.notes if "cannot be true" in note}
    assert told <= set(made.notes)


def test_nothing_is_left_beside_the_archive(fleet: Settings) -> None:
    """What blocks keep between two passes is gone when the run is over, well or not."""

    def broken(work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        yield 0, work(tasks[0])
        raise KeyboardInterrupt

    before = sorted(fleet.archive.path.iterdir())
    in_blocks(fleet, Resource.MEMORY, 10)
    with pytest.raises(KeyboardInterrupt):
        in_blocks(fleet, Resource.MEMORY, 10, broken)
    assert sorted(fleet.archive.path.iterdir()) == before


def test_only_fleets_larger_than_a_block_are_sized_in_blocks(fleet: Settings) -> None:
    """About seventeen services: in blocks of ten, not of twenty."""
    window = prepare_window(fleet, source="lab", as_of=END, offline=True)
    assert wants_blocks(window, override(fleet, "compute__block", 10))
    assert not wants_blocks(window, override(fleet, "compute__block", 20))
    assert wants_blocks(window, override(fleet, "compute__scheduler", "tcp://127.0.0.1:1"))


def test_services_are_chosen_after_limits(
    fleet: Settings, wholes: dict[Resource, pd.DataFrame]
) -> None:
    """A glob shows the rows that the whole fleet has; one that fits nothing is refused by name."""
    window = prepare_window(fleet, source="lab", as_of=END, offline=True)
    made = recommend_in_blocks(window, settings=fleet, services="shop1/*")
    expected = wholes[Resource.MEMORY]
    chosen = [str(name).startswith("shop1/") for name in expected.index]
    pd.testing.assert_frame_equal(made.table, expected[chosen], check_exact=True)
    with pytest.raises(InputError, match="No service matches 'nobody/"):
        recommend_in_blocks(window, settings=fleet, services="nobody/*")


def test_a_window_without_usage_is_refused(fleet: Settings) -> None:
    """As the whole history refuses it; one too long for blocks says how long it may be."""
    early = END - pd.Timedelta(days=40)
    window = prepare_window(fleet, source="lab", as_of=early, offline=True)
    with pytest.raises(NoHistory):
        recommend_in_blocks(window, settings=fleet)
    long = prepare_window(fleet, source="lab", as_of=END, window="40D", offline=True)
    with pytest.raises(InputError, match="five weeks"):
        recommend_in_blocks(long, settings=fleet)


def test_a_plan_says_what_it_was_made_from(fleet: Settings, tmp_path: Path) -> None:
    """The same plan from blocks of any size."""
    window = prepare_window(fleet, source="lab", as_of=END, offline=True)
    plans = []
    for size in (4, 50):
        sized = override(fleet, "compute__block", size)
        made = recommend_in_blocks(window, settings=sized)
        plans.append(made.to_plan(tmp_path / f"{size}.yaml"))
    assert plans[0] == plans[1]
    assert (tmp_path / "4.yaml").read_bytes() == (tmp_path / "50.yaml").read_bytes()
    assert len(plans[0].changes) > 0
    assert plans[0].made_from.history


@pytest.mark.parametrize("late", ["0h", "6h", "30h"])
def test_blocks_and_the_whole_judge_the_data_alike(
    fleet: Settings, tmp_path: Path, late: str
) -> None:
    """Gaps, length and age; a plan from blocks warns as one from the whole history does."""
    end = END + pd.Timedelta(late)
    history = open_history("lab", as_of=end, offline=True, settings=fleet)
    made = recommend(history, settings=fleet)
    window = prepare_window(fleet, source="lab", as_of=end, offline=True)
    blocks = recommend_in_blocks(window, settings=override(fleet, "compute__block", 4))
    assert blocks.data_quality.against == made.data_quality.against
    assert blocks.data_quality.warning == made.data_quality.warning
    plans = {"whole": made, "blocks": blocks}
    sized = override(fleet, "compute__block", 4)
    some = recommend_in_blocks(window, settings=sized, services="shop1/service001").data_quality
    alone = recommend(history.select("shop1/service001"), settings=fleet).data_quality
    assert alone.needed  # it is new, which the others are not
    assert (some.against, some.needed) == (alone.against, alone.needed)
    for name, each in plans.items():
        each.to_plan(tmp_path / name)
    heads = {(tmp_path / name).read_text().split("format:")[0] for name in plans}
    assert len(heads) == 1
    assert ("Not good enough to act on" in heads.pop()) == bool(made.data_quality.needed)

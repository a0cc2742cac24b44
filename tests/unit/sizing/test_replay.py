"""A replay is the policies' own answers, judged by what then happened."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from capacity.errors import InputError
from capacity.model import Resource
from capacity.sizing import POLICIES, replay
from capacity.sizing._policies.registry import Past

STEP = "1h"
INDEX = pd.date_range("2026-08-01", periods=24 * 63, freq=STEP, tz="UTC")


def usage(seed: int = 1) -> pd.DataFrame:
    """Three services over nine weeks, gigabytes; one comes late."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        rng.lognormal(0, 0.3, (len(INDEX), 3)) * 1e9, index=INDEX, columns=["a", "b", "late"]
    )
    frame.loc[: INDEX[24 * 40], "late"] = np.nan
    return frame


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("resource", Resource)
def test_rows_are_the_policys_answers_and_their_outcomes(name: str, resource: Resource) -> None:
    """Limit, peak and breach of each row are recomputed from the usage before and after its
    time.
    """
    frame = usage() if resource is Resource.MEMORY else usage() / 1e9
    table = replay(frame, signal=resource, policies=[name], risk=[0.1, 0.01])
    assert set(table["time"].unique()) == {INDEX[24 * day] for day in (28, 35, 42, 49, 56)}
    if name != "seed":  # the plan's rule remembers its own last answer
        for _, row in table.sample(12, random_state=1).iterrows():
            before = frame.loc[frame.index < row["time"]]
            past = Past(before.to_numpy(), 3600, resource, np.full(3, np.nan))
            expected = POLICIES[name]().limits(past, [row["risk"]])[
                0, list(frame.columns).index(row["service"])
            ]
            assert row["limit"] == pytest.approx(expected)
    after = [
        frame[service].loc[time : time + pd.Timedelta("7D") - pd.Timedelta(STEP)]
        for service, time in zip(table["service"], pd.DatetimeIndex(table["time"]), strict=True)
    ]
    assert table["peak"].to_numpy() == pytest.approx([part.max() for part in after])
    assert (table["breached"] == (table["peak"] > table["limit"])).all()
    minutes = [60 * (part > limit).sum() for part, limit in zip(after, table["limit"], strict=True)]
    assert table["breach_minutes"].tolist() == pytest.approx(minutes)
    assert table["slack"].between(0, 1).all()


def test_services_without_samples_around_a_decision_are_left_out() -> None:
    """The late service is judged only once it has a week behind it."""
    table = replay(usage(), policies=["krr"], risk=[0.1])
    assert table.groupby("service").size().to_dict() == {"a": 5, "b": 5, "late": 2}
    assert table[table["time"] == INDEX[24 * 28]]["changed"].isna().all()
    assert table[table["time"] > INDEX[24 * 28]]["changed"].isin([True, False]).all()


def test_a_fixed_past_gives_slack_by_the_formula() -> None:
    """Constant usage of 1 under KRR's 1.15 leaves 0.15 / 1.15."""
    frame = pd.DataFrame({"a": np.full(len(INDEX), 1e9)}, index=INDEX)
    table = replay(frame, policies=["krr"], risk=[0.1])
    assert table["slack"].tolist() == pytest.approx(
        [0.15 / 1.15] * len(table), rel=5e-3
    )  # KRR rounds up to a MiB
    assert not table["changed"].iloc[1:].any()
    assert not table["breached"].any()


def test_refuses_unknown_policies_and_survives_short_histories() -> None:
    """A wrong name is said; less than five weeks is an empty table."""
    with pytest.raises(InputError, match="no policy 'nonsense'"):
        replay(usage(), policies=["nonsense"])
    assert replay(usage().iloc[: 24 * 30]).empty
    assert replay(usage().iloc[:1]).empty


def test_a_longer_horizon_asks_for_more() -> None:
    """What drifts away has more time for it: limits rise with the horizon, and four weeks are not
    judged by one week's limits.
    """
    rng = np.random.default_rng(3)
    walks = 1e9 * np.exp(np.cumsum(0.01 * rng.standard_normal((len(INDEX), 20)), axis=0))
    frame = pd.DataFrame(walks, index=INDEX, columns=[f"s{number}" for number in range(20)])
    weeks = {
        length: replay(frame, policies=["capacity"], risk=[0.1], horizon=length)
        .groupby("time")["limit"]
        .sum()
        for length in ("1D", "7D", "28D")
    }
    first = INDEX[24 * 28]
    assert weeks["1D"][first] < weeks["7D"][first] < weeks["28D"][first]


@pytest.mark.parametrize(
    "words", [{"horizon": "abc"}, {"horizon": "0D"}, {"signal": "disk"}, {"risk": (0.1, 2.0)}]
)
def test_what_nobody_can_answer_is_refused(words: dict[str, Any]) -> None:
    """No length of time, nothing that has limits, and no share."""
    with pytest.raises(InputError):
        replay(usage(), policies=["krr"], **words)

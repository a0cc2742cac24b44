"""`capacity recommend --budget`: what it adds up to, and why a service got its share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fixtures.commands import capacity_here


def test_a_budget_says_what_it_became(tmp_path: Path) -> None:
    """Under the table, once, however few services are shown; every replica and every service that
    had no limit is in it.
    """
    told = capacity_here("recommend", "shop/cart", "--sample", "--budget", "56g", folder=tmp_path)
    assert told.stdout.rstrip().splitlines()[-1].strip() == (
        "before 50.5 GiB (34 services have no limit, and are not in it), proposed 56 GiB "
        "(2 services without a limit), budget 56 GiB, left 11 MiB"
    )


@pytest.mark.parametrize("form", ["json", "csv"])
def test_programs_get_the_totals_as_columns(form: str, tmp_path: Path) -> None:
    """The rows stay what they are; each also says the totals, and the lowest limit rules allow."""
    wanted = ("recommend", "--sample", "--budget", "56g", "--format", form)
    done = capacity_here(*wanted, folder=tmp_path)
    if form == "csv":
        head = done.stdout.splitlines()[0].split(",")
        assert {"least", "least_because", "budget", "budget_left"} <= {*head}
        return
    rows = {row["service"]: row for row in json.loads(done.stdout)}
    row = rows["data/warehouse"]
    assert row["least"] == row["limit"] == 8 * 1024**3
    assert row["least_because"] == "largest step down"
    spent = sum(
        (each["limit"] or each["current"] or 0) * each["replicas"] for each in rows.values()
    )
    assert row["total_proposed"] == pytest.approx(spent)
    assert row["budget_left"] == pytest.approx(56 * 1024**3 - spent)
    assert row["total_before"] > 0


def test_other_formats_leave_the_totals_to_standard_error(tmp_path: Path) -> None:
    """What a program reads from standard output stays as it is."""
    wanted = ("recommend", "--sample", "--budget", "56g", "--format", "markdown")
    done = capacity_here(*wanted, folder=tmp_path)
    assert "budget 56 GiB, left" in done.stderr
    assert "left" not in done.stdout


def test_why_says_what_a_service_got_of_a_budget(tmp_path: Path) -> None:
    """Its share, the least that the rules allow and what sets it, and what it would get alone."""
    wanted = ("recommend", "data/warehouse", "--sample", "--why", "--budget", "56g")
    done = capacity_here(*wanted, folder=tmp_path)
    assert "budget         56 GiB for the limits of all services, of which this takes 8 GiB" in (
        done.stdout
    )
    assert "at least       8 GiB: largest step down" in done.stdout
    assert "CPU" not in done.stdout.splitlines()[1]
    raw = json.loads(capacity_here(*wanted, "--json", folder=tmp_path).stdout)
    assert [each["resource"] for each in raw] == ["memory"]
    assert raw[0]["budget"]["least_because"] == "largest step down"
    alone = json.loads(capacity_here(*wanted[:4], "--json", folder=tmp_path).stdout)
    assert alone[0]["budget"] is None


@pytest.mark.parametrize(
    ("budget", "hint"), [("56", "such as 56g"), ("512k", "such as 64g"), ("5m", "such as 64g")]
)
def test_a_budget_below_what_a_container_needs_is_refused(
    tmp_path: Path, budget: str, hint: str
) -> None:
    """With the unit that a plain number lacks, or a larger one."""
    done = capacity_here("recommend", "--sample", "--budget", budget, folder=tmp_path)
    assert done.returncode == 2
    assert hint in done.stderr

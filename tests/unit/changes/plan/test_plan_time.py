"""How long a plan takes to be read or refused, beside a bare pass over its YAML."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types

from capacity.changes import plan_text, read_plan
from capacity.errors import InputError
from tests.fixtures.running.fleet import memory, plan_of

HONEST = plan_text(plan_of(*[memory(f"shop/web-{number}", 64, 96) for number in range(300)]))


def seconds(work: Callable[[], object]) -> float:
    """The processor time that work takes, the less of two."""
    took = []
    for _ in range(2):
        start = time.process_time()
        with suppress(InputError):
            work()
        took.append(time.process_time() - start)
    return min(took)


def reading(text: str, folder: Path) -> float:
    """The time that a plan's text takes to be read or refused."""

    def read() -> object:
        path = folder / f"{uuid4().hex}.yaml"  # nobody has it in a cache
        path.write_text(text)
        return read_plan(path)

    return seconds(read)


def bare(text: str) -> float:
    """The time that libyaml takes for the events of a text."""
    return seconds(lambda: list(yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))))


def test_an_honest_plan_takes_a_few_passes_over_its_events(tmp_path: Path) -> None:
    """Ten thousand changes are read in seconds, not in half a minute."""
    assert reading(HONEST, tmp_path) < 10 * bare(HONEST)


@pytest.mark.parametrize(
    "shape",
    [
        "- 1\n",
        "- {}\n",
        "- - - - - - - - 1\n",
        "- [[[[[[[[]]]]]]]]\n",
        "- !!str x\n",
        "- 'x'\n",
        "-\n",
        "# c\n",
        "\n",
        "---\n",
        "a: 1\n",
        "? - - - a\n",
        "- &a x\n",
        "|\n  x\n",
    ],
)
def test_no_shape_takes_much_longer_than_an_honest_plan_of_its_size(
    tmp_path: Path, shape: str
) -> None:
    """Short values have ten times as many events; nothing grows with the square of the size."""
    hostile = shape * (len(HONEST) // len(shape))
    assert reading(hostile, tmp_path) < 25 * reading(HONEST, tmp_path)


def test_keys_without_number_are_refused_as_soon_as_they_are_read(tmp_path: Path) -> None:
    """Each unknown key would be an error of its own."""
    names = "".join(f"k{number}: 1\n" for number in range(40_000))
    path = tmp_path / "plan.yaml"
    path.write_text(names)
    with pytest.raises(InputError, match="10000 keys"):
        read_plan(path)
    assert reading(names, tmp_path) < 10 * reading(HONEST, tmp_path)

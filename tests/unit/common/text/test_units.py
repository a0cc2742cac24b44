"""`capacity._common.text.units`."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._common.text.units import (
    MIB,
    count_cores,
    format_cores,
    format_memory,
    parse_cores,
    parse_cpuset,
    parse_memory,
)
from capacity.errors import InputError

SIZES = st.integers(1, 2**50)


@given(SIZES)
def test_a_size_for_people_is_itself_a_size_within_half_a_percent(size: int) -> None:
    """What is printed can be typed back; three digits are kept."""
    assert parse_memory(format_memory(size)) == pytest.approx(size, rel=0.006)


@given(
    st.integers(0, 10**6),
    st.sampled_from(["", " "]),
    st.sampled_from("kmgtp"),
    st.sampled_from(["", "b", "ib"]),
    st.booleans(),
)
def test_the_grammar_of_docker_is_accepted(
    number: int, space: str, unit: str, suffix: str, upper: bool
) -> None:
    """A number, at most one space, a unit with an optional b or ib in any case; every unit is a
    power of 1024.
    """
    text = f"{number}{space}{unit}{suffix}"
    if number * 1024 ** ("bkmgtp".index(unit)) >= 2**63:
        with pytest.raises(InputError, match="more than Docker can count"):
            parse_memory(text)
        return
    assert parse_memory(text.upper() if upper else text) == number * 1024 ** ("bkmgtp".index(unit))


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("7", 7), ("7b", 7), ("1.5k", 1536), (".5m", MIB // 2), ("2. g", 2**31)],
)
def test_sizes_of_docker(text: str, size: int) -> None:
    """Fractions and plain bytes are read as Docker reads them."""
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "m",
        "1  m",
        " 1m",
        "1m ",
        "-1m",
        "+1m",
        "1e3",
        "1,5g",
        "2Gi",
        "2gi",
        "1bb",
        "5ib",
        "\u0661m",
        "5\u212a",
        "inf",
        "9" * 400,
    ],
)
def test_what_docker_refuses_is_refused_with_a_hint(text: str) -> None:
    """Anything else is an InputError that says how to write it, other scripts' digits and the
    Kelvin sign included.
    """
    with pytest.raises(InputError) as caught:
        parse_memory(text)
    assert "Docker" in caught.value.hint


def test_a_kubernetes_unit_is_named_as_one() -> None:
    """`2Gi` is a common mistake, so its message gives the Docker spelling."""
    with pytest.raises(InputError, match="Docker reads 2g"):
        parse_memory("2Gi")


@given(st.floats(0.01, 10_000))
def test_cores_for_people_read_back_within_half_a_percent(cores: float) -> None:
    """What is printed can be typed back; below one core two decimals are kept."""
    assert parse_cores(format_cores(cores)) == pytest.approx(cores, rel=0.006, abs=0.0051)


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "nan", "inf", "1_0", " 1", "two", "1/2", "9" * 400]
)
def test_what_is_no_number_of_cores_is_refused(text: str) -> None:
    """Only a positive decimal number is a number of cores."""
    with pytest.raises(InputError, match="no number of cores"):
        parse_cores(text)


def test_unknown_and_endless_values_have_a_sign() -> None:
    """None and NaN are a dash, infinity is its sign."""
    assert [format_memory(None), format_memory(math.nan), format_memory(math.inf)] == [
        "-",
        "-",
        "∞",
    ]
    assert [format_cores(None), format_cores(math.nan), format_cores(math.inf)] == ["-", "-", "∞"]
    assert (count_cores(1.0), count_cores(1.85), format_memory(-1536.0)) == (
        "1 core",
        "1.85 cores",
        "-1.5 KiB",
    )


@pytest.mark.parametrize(
    ("cores", "text"),
    [
        (0.0, "0.00 cores"),
        (0.137, "0.137 cores"),
        (0.2, "0.20 cores"),
        (1.0, "1 core"),
        (1.85, "1.85 cores"),
        (10.0, "10 cores"),
        (10.04, "10 cores"),
        (12.34, "12.3 cores"),
        (100.4, "100 cores"),
        (250.6, "251 cores"),
        (-1.5, "-1.5 cores"),
    ],
)
def test_cores_for_people_have_three_digits_and_their_noun(cores: float, text: str) -> None:
    """Thousandths below a core, then three digits without empty ones."""
    assert count_cores(cores) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0.0, "0 B"), (-5.0, "-5 B"), (1000.0, "0.98 KiB"), (2.0**70, "1048576 PiB")],
)
def test_sizes_at_the_edges_of_their_units(size: float, text: str) -> None:
    """A thousand is the next unit, and behind the last unit there is none."""
    assert format_memory(size) == text


@given(st.sets(st.integers(0, 1024), min_size=1, max_size=40), st.data())
def test_a_cpuset_has_the_cores_of_its_parts(cores: set[int], data: st.DataObject) -> None:
    """Single cores and ranges, in any order, some said twice."""
    parts = [str(core) for core in cores]
    first = data.draw(st.integers(0, 1024))
    last = data.draw(st.integers(first, 1024))
    parts = data.draw(st.permutations([*parts, *parts[:2], f"{first}-{last}"]))
    assert parse_cpuset(", ".join(parts)) == tuple(sorted({*cores, *range(first, last + 1)}))


@pytest.mark.parametrize(
    "text", ["", "a", "3-1", "1-", "-1", "1-a", "1025", "0-1025", "0,,1", "1.5", "123456"]
)
def test_what_is_no_cpuset_is_refused(text: str) -> None:
    """Also ranges that go backwards, and more cores than any machine has."""
    with pytest.raises(InputError, match="is no list of cores"):
        parse_cpuset(text)


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("0", (0,)),
        ("0-0", (0,)),
        ("0-3,8", (0, 1, 2, 3, 8)),
        ("8, 0-1", (0, 1, 8)),
        ("1024", (1024,)),
        ("1023-1024", (1023, 1024)),
    ],
)
def test_lists_of_cores(text: str, cores: tuple[int, ...]) -> None:
    """Ranges hold both their ends."""
    assert parse_cpuset(text) == cores


@pytest.mark.parametrize("text", ["", "-", "1-", "-1", "3-2", "1025", "0-1025", "a", "0-b", "0,"])
def test_no_lists_of_cores(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(InputError, match="no list of cores"):
        parse_cpuset(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (999, "999 B"),
        (999.94, "1000 B"),
        (999.96, "0.98 KiB"),
        (1000, "0.98 KiB"),
        (1024, "1 KiB"),
        (10 * 1024, "10 KiB"),
        (10.25 * 1024, "10.2 KiB"),
        (9.996 * 1024, "10 KiB"),
        (100.4 * 1024, "100 KiB"),
        (2.0**60 * 1000, "1024000 PiB"),
        (-2048, "-2 KiB"),
        (0, "0 B"),
    ],
)
def test_three_digits_for_people(size: float, text: str) -> None:
    """The unit changes where four digits would be needed."""
    assert format_memory(size) == text


def test_cores_for_people() -> None:
    """Below one core at least two decimals stay, and a third that says something."""
    assert [format_cores(value) for value in (0.5, 0.137, 0.9996, 1, 10.04, 10.06, 100.4)] == [
        "0.50",
        "0.137",
        "1.00",
        "1",
        "10",
        "10.1",
        "100",
    ]
    assert (count_cores(1), count_cores(2)) == ("1 core", "2 cores")


def test_docker_counts_to_63_bits() -> None:
    """The largest size that it takes is a byte less."""
    assert parse_memory(f"{2**62}") == 2**62
    with pytest.raises(InputError, match="more than Docker can count"):
        parse_memory(f"{2**63}")

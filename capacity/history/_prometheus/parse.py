"""From the bytes of a range answer to float64 rows, without a Python object a sample.

A Prometheus matrix is `{"metric": {...}, "values": [[time, "value"], ...]}` per series, 30 bytes a
sample, so nearly all of the body is numbers. They are cut out and read by numpy; what is left
(labels, warnings) is small and goes through json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from capacity.errors import BadAnswer

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Answer", "labels_of", "parse_matrix"]

_MOST_CELLS = 150_000_000  # series x points; three times what Prometheus gives by default
_OPEN = b'"values":[['
_CLOSE = b"]]"
_INFO = "PromQL info:"


@dataclass(frozen=True)
class Answer:
    """What a range query gave.

    Attributes:
        labels: one dict of labels a series.
        values: float64, series x points of the grid; NaN where the server gave no finite sample.
        warnings: what the server said beside the data; a day with warnings is not final.
        other_time: Unix seconds of a sample that is of another time than was asked for, if any.
    """

    labels: list[dict[str, str]]
    values: NDArray[np.float64]
    warnings: tuple[str, ...] = ()
    other_time: float | None = None


def parse_matrix(body: bytes, *, start: int, step: int, points: int) -> Answer:
    """Rows on the grid `start + i * step`, i < `points`, from the body of a `query_range` answer.

    Args:
        body: JSON as received.
        start: Unix seconds of the first grid point.
        step: seconds between points.
        points: length of the grid.

    Raises:
        BadAnswer: not JSON, cut short, not a matrix, or larger than any answer.
    """
    try:
        answer = _read(*_cut(body), start, step, points)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(
            f"The server's answer is not readable as JSON ({error})", _PROXY_HINT
        ) from error
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise BadAnswer(
            f"The server's answer is no Prometheus matrix ({error!r})", _PROXY_HINT
        ) from error
    return answer


@dataclass(frozen=True)
class _Samples:
    """All samples of a body: their times, their values, and which value list each is of."""

    times: NDArray[np.float64]
    values: NDArray[np.float64]
    lists: NDArray[np.int64]


_NONE = _Samples(np.empty(0), np.empty(0), np.empty(0, np.int64))


def _cut(body: bytes) -> tuple[_Samples, Any]:
    """The samples of all value lists that are written as Prometheus writes them, and the rest of
    the body, read as JSON.

    In the rest each list is replaced by its number. A quote within a JSON string is escaped, so
    what looks like a value list is none of a label. Whatever is written in another way (white
    space, for instance) is left to json.
    """
    head, *parts = body.split(_OPEN)
    texts: list[memoryview] = []
    rest = [head]
    for number, part in enumerate(parts):
        # From the right it is found at once; a label that holds the same characters makes the text
        # unreadable as numbers.
        end = part.rfind(_CLOSE)
        if end < 0:
            raise ValueError("it ends in the middle")
        texts.append(memoryview(part)[:end])
        rest += [b'"values":{"list":%d}' % number, part[end + len(_CLOSE) :]]
    try:
        return _numbers(texts), json.loads(b"".join(rest))
    except ValueError:
        return _NONE, json.loads(body)


def _numbers(texts: list[memoryview]) -> _Samples:
    """Times and values of each text `t,"v"],[t,"v"`.

    That is nearly CSV, so Arrow's reader takes it, which is three times as fast as numpy's. A line
    without a time stands between the texts.

    Raises:
        ValueError: a text is written in another way.
    """
    from pyarrow import BufferReader, csv, float64

    if not texts:
        return _NONE
    lines = b"\nNaN,0\n".join(texts).replace(b"],[", b"\n")
    table = csv.read_csv(
        BufferReader(lines),
        read_options=csv.ReadOptions(
            use_threads=False, column_names=["time", "value"], block_size=len(lines) + 1
        ),
        convert_options=csv.ConvertOptions(
            column_types={"time": float64(), "value": float64()}, null_values=[]
        ),
    )
    times, values = table["time"].to_numpy(), table["value"].to_numpy()
    between = np.isnan(times)
    lists = np.cumsum(between)
    if lists[-1] != len(texts) - 1:
        raise ValueError("not one line between two lists")
    return _Samples(times[~between], values[~between], lists[~between])


def _read(samples: _Samples, envelope: Any, start: int, step: int, points: int) -> Answer:
    """The answer of an envelope whose `values` may be numbers of lists in `samples`."""
    if envelope["status"] != "success" or envelope["data"]["resultType"] != "matrix":
        raise BadAnswer(
            f"The server answered with {str(envelope)[:120]}", "Expected a Prometheus matrix"
        )
    result = envelope["data"]["result"]
    if not isinstance(result, list) or len(result) * points > _MOST_CELLS:
        raise TypeError(
            f"{len(result)} series" if isinstance(result, list) else "no list of series"
        )
    labels = [labels_of(series["metric"]) for series in result]
    values = np.full((len(result), points), np.nan)
    rows = np.full(
        samples.lists[-1] + 1 if len(samples.lists) else 0, -1
    )  # a list that stands elsewhere has none
    stray = [samples.times]
    for row, series in enumerate(result):
        listed = series.get("values", [])  # a series of native histograms has none
        if isinstance(listed, dict):
            number = listed["list"]
            if type(number) is not int or not 0 <= number < len(rows) or rows[number] >= 0:
                raise TypeError("values are no list")
            rows[number] = row
        elif not isinstance(listed, list):
            raise TypeError("values are no list")
        elif listed:
            # a list that is written in an unusual way
            pairs = np.array([(float(at), float(value)) for at, value in listed])
            stray.append(pairs[:, 0])
            _place(pairs[:, 0], pairs[:, 1], np.full(len(pairs), row), values, start, step)
    _place(samples.times, samples.values, rows[samples.lists], values, start, step)
    # before 3.0 Prometheus puts what is of interest only among the warnings, later into `infos`
    said = [str(text) for text in envelope.get("warnings") or ()]
    warnings = [text for text in said if not text.startswith(_INFO)]
    if envelope.get("isPartial"):
        warnings.append("partial answer: a storage node did not respond")
    return Answer(labels, values, tuple(warnings), _other_time(stray, start, step, points))


def _other_time(
    times: list[NDArray[np.float64]], start: int, step: int, points: int
) -> float | None:
    """The first time that is not in what was asked for; at its edges a server may add a step."""
    for part in times:
        outside = part[~((part >= start - step) & (part <= start + points * step))]
        if len(outside):
            return float(outside[0])
    return None


def labels_of(metric: Any) -> dict[str, str]:
    """The labels of a series.

    Raises:
        AttributeError, TypeError: they are no mapping of texts.
        ValueError: a text holds half a character, which no file takes.
    """
    found = dict(metric.items())
    for name, value in found.items():
        if not isinstance(value, str):
            raise TypeError(f"the label {name!r} is no string")
        (name + value).encode()
    return found


def _place(
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    rows: NDArray[np.int64],
    into: NDArray[np.float64],
    start: int,
    step: int,
) -> None:
    """Put finite values at `rows` and the grid points of their times."""
    slots = np.rint((times - start) / step)
    good = (rows >= 0) & (slots >= 0) & (slots < into.shape[1]) & np.isfinite(values)
    into[rows[good], slots[good].astype(np.int64)] = values[good]


_PROXY_HINT = "Check that the address is the metrics server's own and not a login page or a proxy's"

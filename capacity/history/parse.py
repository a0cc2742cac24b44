"""From the bytes of a range answer to float64 rows, without a Python object a sample.

A Prometheus matrix is `{"metric": {...}, "values": [[time, "value"], ...]}` per series, 30 bytes a sample, so nearly all of
the body is numbers. They are cut out and read by numpy; what is left (labels, warnings) is small and goes through json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from capacity.errors import BadAnswer

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Answer", "parse_matrix"]

_OPEN = b'"values":[['
_CLOSE = b"]]"


@dataclass(frozen=True)
class Answer:
    """What a range query gave.

    Attributes:
        labels: one dict of labels a series.
        values: float64, series x points of the grid; NaN where the server gave no finite sample.
        warnings: what the server said beside the data; a day with warnings is not final.
    """

    labels: list[dict[str, str]]
    values: NDArray[np.float64]
    warnings: tuple[str, ...] = ()


def parse_matrix(body: bytes, *, start: int, step: int, points: int) -> Answer:
    """Rows on the grid `start + i * step`, i < `points`, from the body of a `query_range` answer.

    Args:
        body: JSON as received.
        start: Unix seconds of the first grid point.
        step: seconds between points.
        points: length of the grid.

    Raises:
        BadAnswer: not JSON, cut short, or not a matrix.
    """
    numbers, envelope = _split(body)
    try:
        if envelope["status"] != "success" or envelope["data"]["resultType"] != "matrix":
            raise BadAnswer(f"The server answered with {str(envelope)[:120]}", "Expected a Prometheus matrix")
        result = envelope["data"]["result"]
        labels = [row["metric"] for row in result]
        values = np.full((len(result), points), np.nan)
        for row, series in zip(values, result, strict=True):
            # a series of native histograms has no values
            _place(_samples(series.get("values", []), numbers), row, start, step)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise BadAnswer(f"The server's answer is no Prometheus matrix ({error!r})", _PROXY_HINT) from error
    warnings = [str(text) for text in envelope.get("warnings") or ()]
    if envelope.get("isPartial"):
        warnings.append("partial answer: a storage node did not respond")
    return Answer(labels, values, tuple(warnings))


def _split(body: bytes) -> tuple[list[bytes], dict[str, Any]]:
    """The texts of all value lists, and the rest of the body as JSON with each list replaced by its number."""
    head, *parts = body.split(_OPEN)
    numbers, rest = [], [head]
    for index, part in enumerate(parts):
        text, close, tail = part.partition(_CLOSE)
        if not close:
            raise BadAnswer("The server's answer ends in the middle", "Check the proxy in between, then run it again")
        numbers.append(text)
        rest += [b'"values":%d' % index, tail]
    try:
        envelope = json.loads(b"".join(rest))
    except ValueError as error:
        raise BadAnswer(f"The server's answer is not readable as JSON ({error})", _PROXY_HINT) from error
    if not isinstance(envelope, dict):
        raise BadAnswer("The server's answer is no JSON object", _PROXY_HINT)
    return numbers, envelope


def _samples(values: int | list[Any], numbers: list[bytes]) -> NDArray[np.float64]:
    """Times and values, shape (samples, 2), from a cut-out list or from one that json has read (other white space)."""
    if isinstance(values, int):
        return np.fromstring(numbers[values].translate(None, b'[]" \n'), sep=",").reshape(-1, 2)
    return np.array(values, dtype=np.float64).reshape(-1, 2)


def _place(samples: NDArray[np.float64], row: NDArray[np.float64], start: int, step: int) -> None:
    slots = np.rint((samples[:, 0] - start) / step).astype(np.int64)
    good = (slots >= 0) & (slots < row.size) & np.isfinite(samples[:, 1])
    row[slots[good]] = samples[good, 1]


_PROXY_HINT = "Check that the address is the metrics server's own and not a login page or a proxy's"

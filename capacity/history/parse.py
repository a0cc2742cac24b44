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
    try:
        answer = _read(*_cut(body), start, step, points)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"The server's answer is not readable as JSON ({error})", _PROXY_HINT) from error
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise BadAnswer(f"The server's answer is no Prometheus matrix ({error!r})", _PROXY_HINT) from error
    return answer


def _cut(body: bytes) -> tuple[list[NDArray[np.float64]], Any]:
    """The samples of all value lists that are written as Prometheus writes them, and the rest of the body, read as JSON.

    In the rest each list is replaced by its number. A quote within a JSON string is escaped, so what looks like a value list
    is none of a label. Whatever is written in another way (white space, for instance) is left to json.
    """
    head, *parts = body.split(_OPEN)
    texts, rest = [], [head]
    for number, part in enumerate(parts):
        text, close, tail = part.partition(_CLOSE)
        if not close:
            raise ValueError("it ends in the middle")
        texts.append(text)
        rest += [b'"values":%d' % number, tail]
    try:
        return _numbers(texts), json.loads(b"".join(rest))
    except ValueError:
        return [], json.loads(body)


def _numbers(texts: list[bytes]) -> list[NDArray[np.float64]]:
    """Times and values, shape (samples, 2), of each text `t,"v"],[t,"v"`.

    That is nearly CSV, so Arrow's reader takes it, which is
    three times as fast as numpy's.

    Raises:
        ValueError: a text is written in another way.
    """
    from pyarrow import BufferReader, csv, float64

    if not texts:
        return []
    lines = b"\n".join(texts).replace(b"],[", b"\n").replace(b"+Inf", b"Inf")
    table = csv.read_csv(
        BufferReader(lines),
        read_options=csv.ReadOptions(use_threads=False, column_names=["time", "value"], block_size=len(lines) + 1),
        convert_options=csv.ConvertOptions(column_types={"time": float64(), "value": float64()}, null_values=[]),
    )
    counts = [text.count(b"],[") + 1 for text in texts]
    if len(table) != sum(counts):
        raise ValueError("not one line a sample")
    samples = np.stack([table["time"].to_numpy(), table["value"].to_numpy()], axis=1)
    return np.split(samples, np.cumsum(counts)[:-1])


def _read(samples: list[NDArray[np.float64]], envelope: Any, start: int, step: int, points: int) -> Answer:
    """The answer of an envelope whose `values` may be numbers of `samples`."""
    if envelope["status"] != "success" or envelope["data"]["resultType"] != "matrix":
        raise BadAnswer(f"The server answered with {str(envelope)[:120]}", "Expected a Prometheus matrix")
    result = envelope["data"]["result"]
    labels = [dict(row["metric"].items()) for row in result]
    values = np.full((len(result), points), np.nan)
    for row, series in zip(values, result, strict=True):
        listed = series.get("values", [])  # a series of native histograms has none
        # the text of a value may be any that Python reads as a number
        pairs = samples[listed] if isinstance(listed, int) else np.array([(float(at), float(value)) for at, value in listed])
        if len(pairs):
            _place(pairs, row, start, step)
    warnings = [str(text) for text in envelope.get("warnings") or ()]
    if envelope.get("isPartial"):
        warnings.append("partial answer: a storage node did not respond")
    return Answer(labels, values, tuple(warnings))


def _place(samples: NDArray[np.float64], row: NDArray[np.float64], start: int, step: int) -> None:
    slots = np.rint((samples[:, 0] - start) / step)
    good = (slots >= 0) & (slots < row.size) & np.isfinite(samples[:, 1])
    row[slots[good].astype(np.int64)] = samples[good, 1]


_PROXY_HINT = "Check that the address is the metrics server's own and not a login page or a proxy's"

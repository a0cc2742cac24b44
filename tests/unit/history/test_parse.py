"""`capacity.history._prometheus.parse`."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capacity.errors import BadAnswer
from capacity.history._prometheus.parse import Answer, parse_matrix

START, STEP, POINTS = 1_767_571_200, 300, 12

numbers = st.one_of(
    st.floats().map(repr),
    st.floats(0, 1e12).map(lambda value: f"{value:f}"),
    st.sampled_from(["NaN", "+Inf", "-Inf"]),
)
times = st.integers(-3, POINTS + 3).map(lambda slot: START + slot * STEP)
texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(['"values":[[', '"values":[[1,"2"]]', "]]", '\\"', "</script>", "\u2028é"]),
)
labels = st.dictionaries(texts, texts, max_size=4)
series = st.fixed_dictionaries(
    {"metric": labels},
    optional={
        "values": st.lists(
            st.tuples(times, numbers), max_size=POINTS, unique_by=lambda pair: pair[0]
        ),
        "histograms": st.just(
            [[START, {"count": "3", "sum": "5", "buckets": [[0, "1", "2", "3"]]}]]
        ),
    },
)
styles = st.sampled_from([(",", ":"), (", ", ": "), (",\n\t", " : "), None])


def written(
    result: list[Any],
    *,
    style: tuple[str, str] | None = (",", ":"),
    turned: bool = False,
    **more: Any,
) -> bytes:
    """An answer as bytes; `style` None indents, `turned` has the keys of each series in the other
    order.
    """
    rows = [dict(reversed(row.items())) for row in result] if turned else result
    answer = {"status": "success", "data": {"resultType": "matrix", "result": rows}, **more}
    text = (
        json.dumps(answer, indent=2)
        if style is None
        else json.dumps(answer, separators=style, ensure_ascii=len(rows) % 2 == 0)
    )
    return text.encode()


def expected(body: bytes) -> tuple[list[dict[str, str]], np.ndarray]:
    """Labels and values by json and float alone."""
    result = json.loads(body)["data"]["result"]
    values = np.full((len(result), POINTS), np.nan)
    for row, series in zip(values, result, strict=True):
        for at, text in series.get("values", []):
            slot = round((at - START) / STEP)
            if 0 <= slot < POINTS and math.isfinite(float(text)):
                row[slot] = float(text)
    return [series["metric"] for series in result], values


@given(st.lists(series, max_size=5), styles, st.booleans())
@example(
    [{"metric": {}, "values": [(START, "1")]}, {"metric": {}, "values": []}], (",", ":"), False
)
def test_any_matrix_is_read_as_json_and_float_would(
    result: list[Any], style: tuple[str, str] | None, turned: bool
) -> None:
    """Values equal to the bit, whatever the labels, gaps, white space, order of keys and special
    numbers.
    """
    body = written(result, style=style, turned=turned)
    answer = parse_matrix(body, start=START, step=STEP, points=POINTS)
    names, values = expected(body)
    assert answer.labels == names
    assert answer.values.tobytes() == values.tobytes()


@given(st.lists(series, min_size=1, max_size=2), styles)
def test_an_answer_cut_at_any_byte_is_a_bad_answer(
    result: list[Any], style: tuple[str, str] | None
) -> None:
    """A cut answer is never taken for a shorter one, and never another error."""
    body = written(result, style=style)
    for length in range(len(body)):
        with pytest.raises(BadAnswer):
            parse_matrix(body[:length], start=START, step=STEP, points=POINTS)


@given(st.binary(max_size=60), st.data())
def test_bytes_that_changed_on_the_way_end_in_an_answer_or_a_bad_answer(
    noise: bytes, data: st.DataObject
) -> None:
    """Whatever comes, nothing but BadAnswer is raised, and an answer keeps to the grid."""
    body = written(
        [{"metric": {"a": "b"}, "values": [(START, "1"), (START + STEP, "2.5")]}], warnings=["w"]
    )
    at = data.draw(st.integers(0, len(body)))
    for damaged in (
        noise,
        body[:at] + noise + body[at:],
        body[:at] + noise + body[at + len(noise) :],
    ):
        answer = _answered(damaged)
        assert answer is None or answer.values.shape == (len(answer.labels), POINTS)


def _answered(body: bytes) -> Answer | None:
    try:
        return parse_matrix(body, start=START, step=STEP, points=POINTS)
    except BadAnswer:
        return None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html></html>",
        b'{"status":"error","error":"bad"}',
        b'{"status":"success","data":{"resultType":"vector","result":[]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":{}}}'.replace(b"{}", b"5"),
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":"x","values":[[1,"2"]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"two"]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2","3"]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":7}]}}',
        b"[" * 200_000,
    ],
)
def test_what_is_no_matrix_is_a_bad_answer(body: bytes) -> None:
    """JSON of another shape, HTML and nonsense are told from an empty answer."""
    with pytest.raises(BadAnswer):
        parse_matrix(body, start=START, step=STEP, points=POINTS)


def test_strange_times_are_no_samples() -> None:
    """Times far off the grid or not finite are passed over without a warning."""
    body = (
        b'{"status":"success","data":{"resultType":"matrix","result":'
        b'[{"metric":{},"values":[[1e300,"1"],[NaN,"2"],[-5,"3"]]}]}}'
    )
    assert np.isnan(parse_matrix(body, start=START, step=STEP, points=POINTS).values).all()


@given(
    warnings=st.lists(st.sampled_from(["No StoreAPIs matched", "PromQL warning: bucket label"])),
    infos=st.lists(st.text(max_size=9).map(lambda text: f"PromQL info: {text}")),
    apart=st.booleans(),
)
def test_what_is_of_interest_only_is_no_warning(
    warnings: list[str], infos: list[str], apart: bool
) -> None:
    """Prometheus says of a counter with an unusual name that it may be none, in `infos` since 3.0
    and among the warnings before; a day would never become final for that.
    """
    said: dict[str, Any] = {"warnings": warnings if apart else infos + warnings}
    if apart:
        said["infos"] = infos
    answer = parse_matrix(written([], **said), start=START, step=STEP, points=POINTS)
    assert answer.warnings == tuple(warnings)


def test_warnings_and_partial_answers_are_kept() -> None:
    """What the server said beside the data is there for the caller."""
    answer = parse_matrix(
        written([], warnings=["slow store"], isPartial=True), start=START, step=STEP, points=POINTS
    )
    assert answer.warnings[0] == "slow store"
    assert "partial" in answer.warnings[1]
    assert answer.values.shape == (0, POINTS)

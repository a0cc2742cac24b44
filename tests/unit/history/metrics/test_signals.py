"""`capacity.history._metrics.signals`; that servers accept the expressions is shown in
tests/integration/history/test_fetch.py.
"""

from __future__ import annotations

import re

import pytest
from _pytest.mark.structures import ParameterSet
from hypothesis import given
from hypothesis import strategies as st

from capacity._common.text.escape import promql_string
from capacity.errors import SettingsError
from capacity.history._metrics.profiles import PROFILES, known_metrics
from capacity.history._metrics.query_rendering import render_query
from capacity.history._metrics.signals import CATALOGUE, Query, choose_query
from capacity.model import Signal
from capacity.settings import IdentitySettings

IDENTITY = IdentitySettings()
QUERIES = [
    pytest.param(query, id=f"{profile.name}-{signal}-{index}")
    for profile in PROFILES.values()
    for signal in Signal
    for index, query in enumerate(profile.entry(signal).queries)
]


def test_every_signal_has_an_entry() -> None:
    """The catalogue is complete and each entry knows its own name."""
    assert set(CATALOGUE) == set(Signal)
    assert all(
        entry.signal is signal and entry.text and entry.queries
        for signal, entry in CATALOGUE.items()
    )


@pytest.mark.parametrize("query", QUERIES)
def test_an_expression_asks_for_the_metrics_it_lists(query: Query) -> None:
    """What a query cannot do without is what it mentions, no more and no less."""
    text = render_query(query, IDENTITY, {}, 300)
    mentioned = {name for name in known_metrics() if re.search(rf"\b{name}\b", text)}
    assert mentioned == set(query.metrics)
    assert not re.search(r"\$[a-z]", text)


@given(
    st.sampled_from(sorted(known_metrics())),
    st.from_regex(r"[a-z_:][a-z0-9_:]{0,20}", fullmatch=True),
)
def test_a_renamed_metric_is_renamed_everywhere(metric: str, other: str) -> None:
    """A server's own name takes the place of the usual one, in the query and in what must be
    present.
    """
    for entry in CATALOGUE.values():
        for query in entry.queries:
            if metric in query.metrics:
                text = render_query(query, IDENTITY, {metric: other}, 300)
                assert re.search(rf"(?<![\w:]){re.escape(other)}(?![\w:])", text)
                assert other == metric or metric in other or not re.search(rf"\b{metric}\b", text)
                present = {other, *query.metrics} - ({metric} - {other})
                assert choose_query(entry, present, {metric: other}) is not None


def test_renaming_a_metric_that_no_signal_uses_is_an_error() -> None:
    """A misspelt key of the table [metrics] must not be ignored in silence."""
    with pytest.raises(SettingsError, match=r"metrics\.container_cpu: no signal uses"):
        render_query(CATALOGUE[Signal.CPU].queries[0], IDENTITY, {"container_cpu": "x"}, 300)


def test_the_first_possible_query_wins() -> None:
    """node_exporter is asked before cAdvisor's root cgroup; with neither the signal is missing."""
    entry = CATALOGUE[Signal.HOST_CPU]
    node, advisor = entry.queries
    assert choose_query(entry, {*node.metrics, *advisor.metrics}, {}) is node
    assert choose_query(entry, set(advisor.metrics), {}) is advisor
    assert choose_query(entry, set(), {}) is None


@given(st.sampled_from(QUERIES), st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
def test_names_with_any_characters_are_quoted(query: ParameterSet, other: str) -> None:
    """A metric whose name is no plain one is chosen by its name as a label, before its matchers."""
    (template,) = query.values
    assert isinstance(template, Query)
    metric = template.metrics[0]
    text = render_query(template, IDENTITY, {metric: other}, 300)
    if re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", other):
        assert other in text
    else:
        quoted = f"{{__name__={promql_string(other)}"
        assert quoted in text
        assert set(text.split(quoted)[1][0]) <= {",", "}"}


def test_labels_with_other_characters_are_quoted() -> None:
    """OpenTelemetry's names with dots are labels too."""
    own = IdentitySettings(name="container.name", project="com.docker.compose.project")
    text = render_query(CATALOGUE[Signal.RESTARTS].queries[0], own, {}, 300)
    assert '{"container.name"!="",' in text
    assert 'sum by (instance,"com.docker.compose.project",' in text


def test_identity_is_in_selectors_and_groups() -> None:
    """Other labels than cAdvisor's are possible for the container and its place."""
    own = IdentitySettings(name="container", oneoff="once", host="node", project="stack")
    assert 'container!="",once!="True"' in render_query(
        CATALOGUE[Signal.CPU].queries[0], own, {}, 300
    )
    assert "sum by (node,stack," in render_query(
        CATALOGUE[Signal.RESTARTS].queries[0], own, {}, 3600
    )

"""`capacity.history._metrics.profiles`; that real servers answer them is shown in
tests/integration/history/test_profiles.py.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.errors import SettingsError
from capacity.history._metrics.profiles import (
    CADVISOR,
    PROFILES,
    find_profile,
    in_compose_labels,
    known_metrics,
    profiles_in,
)
from capacity.history._metrics.signals import choose_query
from capacity.model import Signal
from capacity.settings import IdentitySettings

NAMES = st.sets(st.sampled_from(sorted({*known_metrics(), "kubelet_running_pods"})))
WORDS = st.text(max_size=5)


@given(NAMES)
def test_a_profile_is_found_only_where_its_cpu_is_measured(present: set[str]) -> None:
    """Whatever a server has, the profile gives CPU from it, or it is cAdvisor's by default."""
    profile = find_profile(present, {}, None)
    found = choose_query(profile.entry(Signal.CPU), present, {}) is not None
    assert found or (profile is CADVISOR and not profiles_in(present, {}))


@given(NAMES, st.sampled_from(sorted(PROFILES)))
def test_a_chosen_profile_is_used_whatever_else_there_is(present: set[str], chosen: str) -> None:
    """The settings decide."""
    assert find_profile(present, {}, chosen).name == chosen


def test_a_profile_that_is_none_is_an_error() -> None:
    """The message lists those that there are."""
    with pytest.raises(SettingsError, match="no profile 'cadvizor'") as raised:
        find_profile(set(), {}, "cadvizor")
    assert "telegraf" in raised.value.hint


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "pod": WORDS,
            "container": st.sampled_from(["", "POD", "web"]),
            "namespace": WORDS,
            "container_label_com_docker_compose_service": WORDS,
        },
    )
)
def test_only_the_containers_of_a_pod_become_services(labels: dict[str, str]) -> None:
    """What is of no pod, or has Compose's labels, stays as it is; a pod's own cgroup is none."""
    identity = IdentitySettings()
    found = in_compose_labels(labels, identity)
    if not labels.get("pod") or labels.get(identity.service):
        assert found == labels
    elif labels.get("container") == "web":
        assert found is not None
        assert found[identity.service] == "web"
        assert found[identity.number] == labels["pod"]
    else:
        assert found is None


@given(st.from_regex("[a-z]{1,9}", fullmatch=True))
def test_the_settings_go_before_a_profiles_labels(label: str) -> None:
    """A label that a person names is never replaced; the others are the exporter's."""
    for chosen in PROFILES.values():
        identity = chosen.identity(IdentitySettings(service=label))
        assert identity.service == label
        assert identity.project == chosen.labels.get("project", IdentitySettings().project)

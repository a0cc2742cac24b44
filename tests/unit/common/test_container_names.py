"""`capacity._common.container_names`."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._common.container_names import identify_container, name_pattern
from capacity._docker.containers import _container
from capacity._docker.responses import ContainerAnswer
from capacity.history._service_series import service_of
from capacity.model import ServiceKey
from capacity.settings import IdentitySettings

IDENTITY = IdentitySettings()
COMPOSE = "com.docker.compose."
WORDS = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
HEX = st.text("0123456789abcdef", min_size=12, max_size=12)
TASK = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=25, max_size=25)
PARTS = st.one_of(WORDS, HEX, TASK, st.sampled_from(["run", "1", "12"]))


@st.composite
def names(draw: st.DrawFn) -> str:
    """Names as Compose, Swarm, Podman and people give them, and others of the same parts."""
    parts = draw(st.lists(PARTS, min_size=1, max_size=5))
    return "".join(
        part + (draw(st.sampled_from("-_.")) if number < len(parts) - 1 else "")
        for number, part in enumerate(parts)
    )


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("shop-web-1", "shop/web"),
        ("shop_web_12", "shop/web"),
        ("shop-web-front-2", "shop/web-front"),
        ("my_shop-web-1", "my_shop/web"),
        ("redis", "standalone/redis"),
        ("redis-7", "standalone/redis-7"),
        ("", "standalone/"),
    ],
)
def test_without_compose_labels_the_name_tells_the_service(name: str, service: str) -> None:
    """Compose's own pattern is read back; any other name is a service of its own."""
    assert str(identify_container(name)[0]) == service


@given(WORDS, WORDS, HEX, HEX, TASK, TASK)
def test_the_random_part_of_a_name_is_no_part_of_the_service(
    project: str, service: str, first: str, second: str, task: str, other: str
) -> None:
    """Over redeploys Compose, Compose run and Swarm names keep one identity each."""

    def key(name: str) -> ServiceKey:
        return identify_container(name)[0]

    assert key(f"{first}_{project}_{service}_1") == ServiceKey(project, service)
    assert key(f"{project}_{service}.1.{task}") == ServiceKey(project, service)
    assert key(f"{project}_{service}.2.{other}") == ServiceKey(project, service)
    assert key(f"{service}.1.{task}") == ServiceKey(ServiceKey.STANDALONE, service)
    for separator in "-_":
        runs = {
            key(separator.join([project, service, "run", suffix])) for suffix in (first, second)
        }
        assert runs == {ServiceKey(project, f"{service}-run")}


@given(names())
def test_the_pattern_of_a_service_finds_the_names_read_as_it(name: str) -> None:
    """So an alert watches what the history calls by this service's name."""
    assert re.fullmatch(name_pattern(identify_container(name)[0]), name)


@given(
    names(),
    st.fixed_dictionaries({}, optional={"project": WORDS, "service": WORDS, "number": WORDS}),
)
def test_the_engine_and_prometheus_call_a_container_by_one_name(
    name: str, labels: dict[str, str]
) -> None:
    """With labels, without, and with some of them: what is recommended can be applied."""
    kept = {"name": name} | {getattr(IDENTITY, label): value for label, value in labels.items()}
    said = {
        f"{COMPOSE}{label.replace('number', 'container-number')}": value
        for label, value in labels.items()
    }
    attrs: ContainerAnswer = {"Id": "1", "Name": f"/{name}", "Config": {"Labels": said}}
    assert _container("dock1", attrs).key == str(service_of(kept, IDENTITY)[0])

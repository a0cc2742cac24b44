"""`capacity.changes.edit_compose` beyond limits: reservations, environment, health check, ports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from capacity._compose import load_project
from capacity._compose.setting_paths import declared_setting
from capacity.changes import EditReason, EditRefused, edit_compose
from capacity.model import Setting
from tests.fixtures.generated.compose_texts import load

TEXT = """services:
  web:
    image: nginx
    environment:
      - MODE=fast
      - "QUOTED=a b"
    ports:
      - "8080:80"
      - 127.0.0.1:9000:90/udp
      - target: 70
        published: 7000
  db:
    image: redis
    environment:
      A: 1
"""


def body(edited: str, service: str = "web") -> Any:
    """One service of the edited file."""
    return load(edited)["services"][service]


def test_reservations_beside_limits() -> None:
    """Both are written into one new block."""
    edited = body(
        edit_compose(
            TEXT,
            {
                "web": {
                    "memory": 2**32,
                    "cpus": 4,
                    "memory_reservation": 2**31,
                    "cpus_reservation": 2,
                }
            },
        )
    )
    assert edited["deploy"]["resources"] == {
        "limits": {"cpus": "4", "memory": "4g"},
        "reservations": {"cpus": "2", "memory": "2g"},
    }


def test_environment_as_list_and_as_mapping() -> None:
    """Present names are changed in place, new ones appended, dollar signs escaped."""
    wanted = {"environment": {"MODE": "slow", "NEW": "a$b"}}
    assert body(edit_compose(TEXT, {"web": wanted}))["environment"] == [
        "MODE=slow",
        "QUOTED=a b",
        "NEW=a$$b",
    ]
    assert body(edit_compose(TEXT, {"db": wanted}), "db")["environment"] == {
        "A": 1,
        "MODE": "slow",
        "NEW": "a$$b",
    }


@pytest.mark.parametrize("empty", ["[]", "[ ]  # none yet", "{}", ""])
def test_an_empty_environment_is_filled(empty: str) -> None:
    """Of whatever kind it is; what stands behind it stays."""
    text = f"services:\n  a:\n    image: a\n    environment: {empty}\n    init: true\n"
    edited = edit_compose(text, {"a": {"environment": {"A": "x y"}}})
    assert body(edited, "a")["environment"] in (["A=x y"], {"A": "x y"})
    assert empty.partition("]")[2] in edited


def test_a_new_environment() -> None:
    """Where there is none, a mapping is written."""
    edited = edit_compose(
        "services:\n  a:\n    image: a\n", {"a": {"environment": {"OLLAMA_NUM_PARALLEL": 2}}}
    )
    assert (
        edited
        == 'services:\n  a:\n    image: a\n    environment:\n      OLLAMA_NUM_PARALLEL: "2"\n'
    )


def test_ports_keep_everything_but_the_published_one() -> None:
    """Short, with address and protocol, and long."""
    edited = body(edit_compose(TEXT, {"web": {"ports": {8080: 18080, "9000": 19000, 7000: 17000}}}))
    assert edited["ports"] == [
        "18080:80",
        "127.0.0.1:19000:90/udp",
        {"target": 70, "published": 17000},
    ]


def test_a_port_published_twice_moves_twice() -> None:
    """One port for two protocols, or on two addresses, stays one port."""
    text = 'services:\n  a:\n    ports: ["53:53", "53:53/udp", "80:80"]\n'
    assert edit_compose(text, {"a": {"ports": {53: 10053}}}) == text.replace('"53:', '"10053:')


WAITING = """services:
  block:
    image: a
    depends_on:
      # the data
      - db   # first
      - "cache"
  level:
    image: a
    depends_on:
    - db
    restart: always
  flow: {image: a, depends_on: [db, cache]}
  mapping:
    image: a
    depends_on:
      db:
        condition: service_started  # as before
        restart: true
  anchored: &shared
    image: a
    depends_on:
      - db
  merged:
    <<: *shared
    container_name: own
  without:
    image: a
  db: {image: a}
  cache: {image: a}
"""
STARTED, HEALTHY = {"condition": "service_started"}, {"condition": "service_healthy"}


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("block", {"db": HEALTHY, "cache": STARTED}),
        ("level", {"db": HEALTHY}),
        ("flow", {"db": HEALTHY, "cache": STARTED}),
        ("mapping", {"db": {**HEALTHY, "restart": True}}),
        ("anchored", {"db": HEALTHY}),
        ("merged", {"db": HEALTHY}),
        ("without", {"db": HEALTHY}),
    ],
)
def test_what_a_service_waits_for(service: str, expected: dict[str, Any], tmp_path: Path) -> None:
    """In every style the condition is set, other dependencies and comments stay, and Compose reads
    the file.
    """
    edited = edit_compose(WAITING, {service: {"depends_on": {"db": "service_healthy"}}})
    file = tmp_path / "compose.yaml"
    file.write_text(edited)
    before, after = load(WAITING)["services"], load(edited)["services"]
    assert after[service]["depends_on"] == expected
    assert {**after[service], "depends_on": 0} == {**before[service], "depends_on": 0}
    assert all(after[name] == before[name] for name in before if name != service)
    assert [line for line in WAITING.splitlines() if "#" in line and "- db" not in line] == [
        line.replace("service_healthy", "service_started") if "as before" in line else line
        for line in edited.splitlines()
        if "#" in line and "# first" not in line
    ]
    assert "# first" in edited
    read = load_project([file], name="x").services[service]
    assert read.depends_on["db"] == "service_healthy"


def test_health_check() -> None:
    """A new one is written as given."""
    check = {"test": ["CMD", "curl", "-f", "http://localhost"], "interval": "30s", "retries": 3}
    assert body(edit_compose(TEXT, {"web": {"healthcheck": check}}))["healthcheck"] == check


def test_service_keys() -> None:
    """What has no place under deploy is a key of the service."""
    edited = body(edit_compose(TEXT, {"web": {"cpuset": "0,1", "restart": "no", "memswap": -1}}))
    assert (edited["cpuset"], edited["restart"], edited["memswap_limit"]) == ("0,1", "no", -1)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"ports": {1: 2}}, EditReason.NO_PORT),
        ({"ports": {8080: 99999}}, EditReason.BAD_VALUE),
        ({"environment": {}}, EditReason.BAD_VALUE),
        ({"environment": {"A B": "x"}}, EditReason.BAD_VALUE),
        ({"healthcheck": {"nonsense": 1}}, EditReason.BAD_VALUE),
        ({"pids": 0}, EditReason.BAD_VALUE),
        ({"restart": ""}, EditReason.BAD_VALUE),
        ({"restart": "banana"}, EditReason.BAD_VALUE),
        ({"cpuset": "all"}, EditReason.BAD_VALUE),
        ({"depends_on": {"db": "healthy"}}, EditReason.BAD_VALUE),
        ({"depends_on": {"web": "service_healthy"}}, EditReason.BAD_VALUE),
    ],
)
def test_refusals(wanted: dict[str, Any], reason: EditReason) -> None:
    """Values that make no sense are refused."""
    with pytest.raises(EditRefused) as refused:
        edit_compose(TEXT, {"web": wanted})
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        (TEXT, None),
        (TEXT, {"web": None}),
        (TEXT, {"web": [1]}),
        (b"services: {}", {"web": {"pids": 9}}),
        (None, {}),
    ],
)
def test_what_is_no_text_and_no_mapping_is_refused_too(text: Any, changes: Any) -> None:
    """A slip of the caller gets the same kind of answer as a strange file."""
    with pytest.raises(EditRefused):
        edit_compose(text, changes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "services:\n  a:\n    image: a\n    depends_on: [ b, # why\n      c ]\n",
            EditReason.SHAPE,
        ),
        (
            (
                "services:\n  a:\n    image: a\n    depends_on: {b: {condition: "
                "'${C:-service_started}'}}\n"
            ),
            EditReason.INTERPOLATED,
        ),
    ],
)
def test_a_comment_and_a_variable_are_not_written_over(text: str, reason: EditReason) -> None:
    """What would be lost is left to a person."""
    with pytest.raises(EditRefused) as refused:
        edit_compose(text, {"a": {"depends_on": {"b": "service_healthy"}}})
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    ("port", "reason", "said"),
    [
        (
            "'${PORT}:80'",
            EditReason.INTERPOLATED,
            "comes from a variable (ports: ${PORT}:80). Change the variable where it is set",
        ),
        (
            "{target: 80, published: '${PORT:-8080}'}",
            EditReason.INTERPOLATED,
            "comes from a variable (ports: ${PORT:-8080})",
        ),
        (
            "'8080-8081:80-81'",
            EditReason.PORT_RANGE,
            "one of a range, which moves as a whole (8080-8081:80-81 publishes 8080)",
        ),
        ("'127.0.0.1:8079-8081:80'", EditReason.PORT_RANGE, "one of a range"),
        ("{target: 80, published: '8080-8090'}", EditReason.PORT_RANGE, "one of a range"),
        ("'9000-9001:80-81'", EditReason.NO_PORT, "no port is published under that number (8080)"),
    ],
)
def test_a_port_that_cannot_be_moved_says_why(port: str, reason: EditReason, said: str) -> None:
    """A variable, a range, or another port: each has its own words and next step."""
    with pytest.raises(EditRefused) as refused:
        edit_compose(
            f"services:\n  a:\n    image: a\n    ports: [{port}]\n", {"a": {"ports": {8080: 18080}}}
        )
    assert refused.value.reason is reason
    assert said in str(refused.value)


def test_json_stays_json() -> None:
    """A value without quotes that becomes a text gets those of the file."""
    text = '{"services": {"a": {"image": "a", "mem_limit": 67108864}}}'
    assert (
        json.loads(edit_compose(text, {"a": {"memory": 2**27}}))["services"]["a"]["mem_limit"]
        == "128m"
    )


ULIMITS = """services:
  web:
    image: nginx
    ulimits:
      nofile: {soft: 64, hard: 128}
      nproc: 99
  db:
    image: redis
    scale: 2
  job:
    image: redis
    deploy:
      replicas: 0
  bus:
    image: redis
    mem_limit: 64m
  var:
    image: redis
    scale: ${SCALE:-2}
    ulimits:
      nofile: ${FILES:-99}
"""
DECLARED = (
    ("web", {"ulimits": {"nofile": "5:9"}}, {"nofile": "5:9", "nproc": "99"}),
    ("web", {"ulimits": {"nofile": 7, "nproc": "-1"}}, {"nofile": "7", "nproc": "-1"}),
    ("web", {"ulimits": {"nproc": "3:4"}}, {"nofile": "64:128", "nproc": "3:4"}),
    ("db", {"ulimits": {"core": 0, "memlock": "1:-1"}}, {"core": "0", "memlock": "1:-1"}),
    ("web", {"replicas": 3}, 3),
    ("db", {"replicas": 0}, 0),
    ("job", {"replicas": 2}, 2),
    ("bus", {"replicas": 2}, 2),
)


@pytest.mark.parametrize(("service", "wanted", "declared"), DECLARED)
def test_ulimits_and_replicas(
    service: str, wanted: dict[str, object], declared: object, tmp_path: Path
) -> None:
    """Whatever their form is, the project then declares what was asked for, and nothing else."""
    file = tmp_path / "compose.yaml"
    file.write_text(ULIMITS)
    before = load_project(file, environment={}).model["services"]
    file.write_text(edit_compose(ULIMITS, {service: wanted}))
    after = load_project(file, environment={}).model["services"]
    what = Setting(next(iter(wanted)))
    assert declared_setting(after[service], what) == declared
    assert {name: model for name, model in before.items() if name != service} == {
        name: model for name, model in after.items() if name != service
    }


@pytest.mark.parametrize(
    ("service", "wanted", "reason"),
    [
        ("web", {"ulimits": {"nofile": "9:5"}}, EditReason.BAD_VALUE),
        ("web", {"ulimits": {"nofile": "5:5"}}, EditReason.BAD_VALUE),
        ("web", {"ulimits": {"nofile": True}}, EditReason.BAD_VALUE),
        ("web", {"replicas": -1}, EditReason.BAD_VALUE),
        ("web", {"replicas": 1.5}, EditReason.BAD_VALUE),
        ("var", {"replicas": 3}, EditReason.INTERPOLATED),
        ("var", {"ulimits": {"nofile": 3}}, EditReason.INTERPOLATED),
    ],
)
def test_ulimits_and_replicas_refused(
    service: str, wanted: dict[str, object], reason: EditReason
) -> None:
    """What no Engine takes, and what a variable says."""
    with pytest.raises(EditRefused) as refused:
        edit_compose(ULIMITS, {service: wanted})
    assert refused.value.reason is reason

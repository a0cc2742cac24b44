"""What runs by the metrics alone, and the balance of cores that the sample fleet gets by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capacity._common.text.units import parse_cpuset
from capacity.history import History
from capacity.history._sample.generate import load_sample
from capacity.model import Signal
from capacity.operations._measured_inventory import measured_inventory
from tests.fixtures.commands import capacity_here


@pytest.fixture(scope="module")
def sample() -> History:
    """The sample fleet."""
    return load_sample()


def test_it_is_what_the_metrics_say(sample: History) -> None:
    """Each running service once on each of its hosts, and the cores that each host had last."""
    found = measured_inventory(sample)
    running = sample.running()
    places = {
        (service, host)
        for service in sample.services
        if running[service]
        for host in sample.hosts[service].split(",")
    }
    assert {(container.key, container.host) for container in found.containers} == places
    last = sample[Signal.HOST_CORES].iloc[-1]
    assert {host.name: host.cores for host in found.hosts} == last.astype(int).to_dict()


def test_the_sample_needs_no_engine(tmp_path: Path) -> None:
    """`affinity --sample` proposes cores that each host has, without Docker; a plan is refused."""
    nowhere = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    done = capacity_here("affinity", "--sample", "--json", folder=tmp_path, **nowhere)
    assert done.returncode == 0, done.stderr
    (host,) = json.loads(done.stdout)
    cores = {core for cpuset in host["cpusets"].values() for core in parse_cpuset(cpuset)}
    assert cores <= {int(core.rpartition("/")[2]) for core in host["measured"]}
    assert len(host["cpusets"]) > len(cores)
    refused = capacity_here("affinity", "--sample", "--out", "p.yaml", folder=tmp_path, **nowhere)
    assert refused.returncode == 2
    assert "no Engines" in refused.stderr

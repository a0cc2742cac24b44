"""Podman through its Docker-compatible socket: seen, measured, and refused in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from capacity._collect.cgroups import find_mounts
from capacity._collect.watch import EngineWatch
from capacity._docker.engine import connect_all, snapshot
from capacity._docker.update import send_update
from capacity._docker.usage import usage
from capacity.errors import EngineRefused
from capacity.settings import EngineSettings
from tests.fixtures.docker_engine import Engine, busybox_image, client
from tests.fixtures.podman import podman

MIB = 2**20
LABELS = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Podman with one container of 128 MiB."""
    with podman(tmp_path_factory.mktemp("podman")) as made:
        image = busybox_image(made, "stack")
        with closing(client(made)) as api:
            api.containers.run(
                image,
                ["sleep", "600"],
                detach=True,
                network_mode="none",
                name="shop-web-1",
                mem_limit=128 * MIB,
                labels=LABELS,
            )
        yield made


def test_its_containers_are_seen_and_measured(engine: Engine) -> None:
    """Inventory, use now, and the collector's samples from the kernel's own files."""
    settings = EngineSettings(hosts={"here": engine.url})
    (found,) = snapshot(settings).of("shop/web")
    assert (found.memory, found.running, found.health) == (128 * MIB, True, None)
    with connect_all(settings) as (engines, _):
        assert engines["here"].host.podman
        assert usage(engines["here"], found.id).memory > 0
        (reading,) = EngineWatch(engines["here"], find_mounts()).look(0.0).containers
    assert reading.sample is not None
    assert 0 < reading.sample.memory < 128 * MIB


def test_an_update_that_it_cannot_is_refused_in_its_words(engine: Engine) -> None:
    """An older Podman has no such call; a newer one does it."""
    settings = EngineSettings(hosts={"here": engine.url})
    (found,) = snapshot(settings).of("shop/web")
    with connect_all(settings) as (engines, _):
        here = engines["here"]
        body = {"Memory": 64 * MIB, "MemorySwap": 128 * MIB}
        if int(here.host.version.split(".")[0]) >= 5:
            send_update(here, found, body)
            assert snapshot(settings).of("shop/web")[0].memory == 64 * MIB
            return
        with pytest.raises(EngineRefused, match=r"Podman 4.* shop-web-1") as refused:
            send_update(here, found, body)
    assert "podman update" in refused.value.hint

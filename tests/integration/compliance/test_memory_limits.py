"""Declared memory against what a real Engine takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from http import HTTPStatus
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from capacity.compliance import Status
from tests.fixtures.fleets.compliance_fleets import declared, found
from tests.fixtures.running.docker_engine import busybox_image, client, dockerd

MIB = 2**20
LIMITS = (512, 6 * MIB - 1, 6 * MIB, 64 * MIB)
OTHERS = (None, 512, 6 * MIB, 64 * MIB, 128 * MIB)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """A client of a private Engine, and its image."""
    with dockerd(tmp_path_factory.mktemp("engine")) as engine, closing(client(engine)) as opened:
        yield opened, busybox_image(engine, "limits")


def taken(api: tuple[Any, str], limit: int, reservation: int | None, swap: int | None) -> bool:
    """Whether the Engine makes a container of it."""
    opened, image = api
    try:
        made = opened.containers.create(
            image,
            network_mode="none",
            mem_limit=limit,
            mem_reservation=reservation,
            memswap_limit=swap,
        )
    except APIError as error:
        if error.status_code != HTTPStatus.BAD_REQUEST:
            raise
        return False
    made.remove()
    return True


def test_the_rule_fails_exactly_what_the_engine_refuses(
    api: tuple[Any, str], tmp_path: Path
) -> None:
    """Limit, reservation and swap in every combination."""
    cases = list(product(LIMITS, OTHERS, OTHERS))
    text = ""
    for number, (limit, reservation, swap) in enumerate(cases):
        more = f", mem_reservation: {reservation}" if reservation else ""
        more += f", memswap_limit: {swap}" if swap else ""
        text += f"  s{number}: {{image: 'a:1', mem_limit: {limit}{more}}}\n"
    said = found("memory-limit-declared", declared(tmp_path, shop=text))
    for number, case in enumerate(cases):
        wanted = Status.PASS if taken(api, *case) else Status.FAIL
        assert said[f"shop/s{number}"] is wanted, case

"""The proposed shell lines: right flags, and names that cannot break out."""

from __future__ import annotations

import shlex
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from capacity._common.text.units import MIB
from capacity.changes import update_command
from capacity.model import Resource, Setting


def test_memory_and_swap_go_together() -> None:
    """The Engine refuses a memory limit above the swap limit in force."""
    command = update_command("shop/web", {Resource.MEMORY: 512.0 * MIB, Resource.CPU: 1.5})
    assert command.startswith(
        "docker update --cpus 1.5 --memory 512m --memory-swap 1024m $(docker ps -q --filter "
    )


def test_a_container_outside_compose_is_named_itself() -> None:
    """There are no labels to look it up by."""
    assert (
        update_command("standalone/ollama", {Resource.CPU: 4.0}) == "docker update --cpus 4 ollama"
    )


@given(
    st.text(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=60
    )
)
def test_names_stay_one_word(name: str) -> None:
    """Whatever a service is called, a shell sees one argument and runs nothing."""
    words = shlex.split(update_command(f"standalone/{name}", {Resource.CPU: 1.0}))
    assert words[-1] == name
    line = update_command(f"shop/{name}", {Resource.CPU: 1.0})
    seen = subprocess.run(
        [
            "bash",
            "-c",
            (
                f'docker() {{ printf "%s\\0" "$@"; }}; {line} >/dev/null; docker '
                f"{line[line.index('ps -q') : -1]}"
            ),
        ],
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    assert f"label=com.docker.compose.service={name}".encode() in seen


def test_what_takes_a_new_container_keeps_the_number_of_replicas() -> None:
    """Compose would make one of three: the line counts the containers there are, those of
    `docker compose run` left out.
    """
    line = update_command("shop/web", {Setting.ENVIRONMENT: {"MODE": "fast"}})
    assert line.startswith('docker compose up -d --no-deps --scale web="$(docker ps -aq --filter ')
    assert "oneoff=False" in line
    assert line.endswith(' | wc -l)" web')

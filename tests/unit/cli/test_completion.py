"""Shells complete the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("capacity")


def completed(*words: str) -> set[str]:
    """What bash offers for the last of the words."""
    done = subprocess.run(
        [PROGRAM],
        env={
            "PATH": "/usr/bin:/bin",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
            "_CAPACITY_COMPLETE": "complete_bash",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_commands_and_options_are_completed() -> None:
    """Those that begin like the word, of the group before it."""
    assert completed("capacity", "rep") == {"report"}
    assert completed("capacity", "report", "") >= {"weekly", "monthly", "quarterly", "compliance"}
    assert "--older-than" in completed("capacity", "archive", "prune", "--ol")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(shell: str) -> None:
    """One that calls the program back."""
    done = subprocess.run(
        [PROGRAM],
        env={"PATH": "/usr/bin:/bin", "_CAPACITY_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"_CAPACITY_COMPLETE=complete_{shell}" in done.stdout


def test_bash_reads_its_script() -> None:
    """The line of the tutorial leaves a completion behind."""
    line = f'eval "$(_CAPACITY_COMPLETE=source_bash {PROGRAM})"; complete -p capacity'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert "_capacity_completion" in done.stdout

"""`capacity check` in this process: its exit code and what it prints."""

from __future__ import annotations

from dataclasses import dataclass

import typer
from typer.testing import CliRunner

from capacity.cli import check as command
from capacity.errors import CapacityError

__all__ = ["Outcome", "check"]


@dataclass(frozen=True)
class Outcome:
    """Exit code, standard output, and the message of the error if there was one."""

    code: int
    text: str
    error: str


def check(*arguments: object) -> Outcome:
    """Run the command; an error that is none of ours fails the test."""
    app = typer.Typer()
    command.register(app)
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(done.exception, CapacityError):
        return Outcome(done.exception.exit_code, done.stdout, str(done.exception))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Outcome(done.exit_code, done.stdout, done.stderr)

"""A git branch with one commit a service, the evidence in its message. The working tree, dirty or
not, is never touched.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from capacity._common.files import scratch_folder
from capacity._common.setting_values import show_value
from capacity._compose.declared import DeclaredProject
from capacity.changes._plan.exports import by_project
from capacity.changes._plan.file_edits import Edits, edit_services
from capacity.changes._plan.plan import Plan, PlannedChange
from capacity.errors import CapacityError, InputError, WorkError

__all__ = ["Branch", "commit_plan"]


@dataclass(frozen=True)
class Branch:
    """What was committed: service -> commit, and the services that were not, with the reason."""

    name: str
    commits: dict[str, str]
    refused: dict[str, str]


def commit_plan(
    plan: Plan, projects: Mapping[str, DeclaredProject], repository: Path, branch: str = ""
) -> Branch:
    """Commit the edits of the compose files on a new branch off HEAD. Nothing is pushed, nothing is
    checked out.

    Args:
        plan: what to change.
        projects: what the compose files declare.
        repository: a folder inside the git repository.
        branch: its name; default `capacity/PLAN-ID`.

    Raises:
        InputError: no git repository, no commit in it, no author known to git, the branch exists.
        WorkError: git failed, or no service could be committed.
    """
    root = Path(_git(repository, "rev-parse", "--show-toplevel").strip())
    name = branch or f"capacity/{plan.plan_id}"
    base = _git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
    if _git(root, "branch", "--list", name).strip():
        raise InputError(
            f"The branch {name} exists already", "Name another with --branch, or delete it"
        )
    commits: dict[str, str] = {}
    refused: dict[str, str] = {}
    texts: dict[Path, str] = {}
    with scratch_folder() as scratch:
        index = {"GIT_INDEX_FILE": str(scratch / "index")}
        _git(root, "read-tree", base, environment=index)
        for project, changes in by_project(plan.changes).items():
            edited, left = _edits(root, base, projects.get(project), changes, texts)
            refused |= {service: str(error) for service, error in left.items()}
            for service, edits in edited.items():
                for path, (_, after) in edits.items():
                    texts[path] = after
                    _stage(root, path, after, index)
                tree = _git(root, "write-tree", environment=index).strip()
                above = next(reversed(commits.values()), base)
                words = ("commit-tree", tree, "-p", above, "-F", "-")
                message = _message(plan, service, changes[service])
                commits[service] = _git(root, *words, given=message).strip()
    if not commits:
        raise WorkError(
            f"No service of the plan could be committed: {'; '.join(refused.values())}",
            "Correct that, or edit by hand",
        )
    _git(root, "branch", name, next(reversed(commits.values())))
    return Branch(name, commits, refused)


def _edits(
    root: Path,
    base: str,
    declared: DeclaredProject | None,
    changes: Mapping[str, list[PlannedChange]],
    texts: Mapping[Path, str],
) -> tuple[dict[str, Edits], dict[str, CapacityError]]:
    """The edits of a project's services, starting from what is committed, not from what lies in the
    working tree, and those that are left out.
    """
    if declared is None or declared.project is None:
        missing = declared.missing if declared else "no compose file of its project was named"
        return {}, {service: InputError(f"{service}: {missing}") for service in changes}
    committed = {path: _committed(root, base, path) for path in declared.project.sources}
    known = {path: text for path, text in committed.items() if text is not None}
    known.update(texts)
    done, refused = edit_services(declared, changes, known)
    outside: dict[str, CapacityError] = {
        service: InputError(f"{path} is not committed in {root}", "Commit it first")
        for service, edits in done.items()
        for path in edits
        if path not in known
    }
    if outside:  # the others once more: their texts must not hold these edits
        rest = {service: some for service, some in changes.items() if service not in outside}
        again, more = _edits(root, base, declared, rest, texts)
        return again, {**outside, **more}
    for service, edits in done.items():
        if all(before == after for before, after in edits.values()):
            refused[service] = InputError(
                f"{service}: what is committed says this already",
                "Nothing is left to commit for it",
            )
    return {service: edits for service, edits in done.items() if service not in refused}, refused


def _committed(root: Path, base: str, path: Path) -> str | None:
    try:
        inside = path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return None
    listed = _git(root, "ls-tree", "-z", base, "--", inside)
    return _git(root, "cat-file", "blob", f"{base}:{inside}") if listed else None


def _stage(root: Path, path: Path, text: str, index: dict[str, str]) -> None:
    inside = path.resolve().relative_to(root.resolve()).as_posix()
    mode = _git(root, "ls-files", "--stage", "-z", "--", inside, environment=index).split(" ", 1)[0]
    blob = _git(root, "hash-object", "-w", "--stdin", "--no-filters", given=text).strip()
    _git(root, "update-index", "--cacheinfo", f"{mode},{blob},{inside}", environment=index)


def _message(plan: Plan, service: str, changes: list[PlannedChange]) -> str:
    """What a reviewer needs: what, why, on which evidence, at which risk, and how to go back."""
    said = [
        f"{change.what} {show_value(change.what, change.before)} -> "
        f"{show_value(change.what, change.after)}"
        for change in changes
    ]
    lines = [f"{service}: {', '.join(said)}", ""]
    for change in changes:
        lines += [f"{change.what}: {change.reason}. {change.why}", f"  risk: {change.risk}"]
        lines += [f"  {name}: {value:.6g}" for name, value in change.evidence.items()]
    return (
        "\n".join(
            [
                *lines,
                "",
                f"Plan: {plan.plan_id} of {plan.as_of:%Y-%m-%d %H:%M} UTC",
                f"History: {plan.made_from.history}",
            ]
        )
        + "\n"
    )


def _git(
    folder: Path, *words: str, given: str | None = None, environment: dict[str, str] | None = None
) -> str:
    command = ["git", "-C", str(folder), *words]
    variables = {
        name: value
        for name, value in os.environ.items()
        if name not in {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}
    }
    try:
        done = subprocess.run(  # noqa: S603 - words, no shell
            command,
            input=None if given is None else given.encode(),
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            env={**variables, **(environment or {})},
            check=False,
        )
    except FileNotFoundError as error:
        raise InputError("git is not installed", "Install it, or use the patch") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        hint = (
            "Set user.name and user.email"
            if any("tell me who you are" in line for line in said)
            else "See what git says"
        )
        raise InputError(
            f"git {words[0]} failed in {folder}: {said[-1] if said else 'no commit yet'}", hint
        )
    return done.stdout.decode()

"""Compose files in random styles, and an independent judge of edits."""

from __future__ import annotations

import difflib
from typing import Any

from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor

from capacity.errors import InputError
from capacity.units import parse_memory

__all__ = ["changed", "compose_files", "limits_and_rest", "load"]


class _Constructor(SafeConstructor):
    """Knows Compose's two tags, as values that cannot be mistaken for others."""


_Constructor.add_constructor("!reset", lambda _constructor, _node: "!reset")
_Constructor.add_constructor("!override", lambda _constructor, node: f"!override {node}")


def load(text: str) -> Any:
    """What ruamel's own loader reads, nothing shared by anchors."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    return _unshared(yaml.load(text.replace("\t", " ")))  # ruamel reads no tabs at all


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unshared(item) for name, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def limits_and_rest(text: str, service: str) -> tuple[dict[str, set[Any]], Any]:
    """Memory and CPU limits of a service wherever they are written, and the file's model without them."""
    model = load(text)
    body = model["services"][service] = model["services"][service] or {}
    deploy = body.get("deploy") or {}
    resources = deploy.get("resources") or {}
    limits = resources.get("limits") or {}
    found = {
        "memory": {_amount(holder.pop(name)) for holder, name in ((limits, "memory"), (body, "mem_limit")) if name in holder},
        "cpus": {_amount(holder.pop(name)) for holder, name in ((limits, "cpus"), (body, "cpus")) if name in holder},
    }
    for holder, name, inner in ((resources, "limits", limits), (deploy, "resources", resources), (body, "deploy", deploy)):
        if not inner:
            holder.pop(name, None)
    return found, model


def _size(text: str) -> float:
    return float(text) if text.replace(".", "", 1).isdecimal() else float(parse_memory(text))


def _amount(value: Any) -> float | str:
    """Bytes or cores; what is neither, such as a variable, stays a text."""
    try:
        return float(value) if isinstance(value, (int, float)) else _size(str(value))
    except InputError:
        return str(value)


def changed(before: str, after: str) -> int:
    """Lines that differ, line breaks included."""
    matcher = difflib.SequenceMatcher(None, before.splitlines(keepends=True), after.splitlines(keepends=True), autojunk=False)
    return sum(max(b - a, d - c) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal")


_IMAGES = st.sampled_from(["nginx", '"nginx:1.27"', "'redis'", "example/app:1.0", '"üñï"'])
_BLANKS = st.sampled_from([[], [""], ["# note"], ["", "# between", ""], ["   # odd"]])


@st.composite
def _service(draw: st.DrawFn, step: int) -> list[str]:
    """Lines of a service's body at column 0."""
    pad = " " * step
    blocks: list[list[str]] = [["image: " + draw(_IMAGES) + draw(st.sampled_from(["", "  ", "   # why"]))]]
    extra = {
        "list": ["ports:", f'{draw(st.sampled_from(["", pad]))}- "80:80"'],
        "map": ["environment:", f"{pad}A: 1", f"{pad}B:"],
        "block": ["command: |", f"{pad}echo one", f"{pad}echo two"],
        "folded": ["entrypoint: >-", f"{pad}sh -c", f"{pad}true", ""],
        "kept": ["command: |+", f"{pad}echo", "", ""],
        "flow": ["labels: {a: b, c: [1, 2]}"],
        "multi": ["user: root", "hostname: plain", f"{pad}continued"],
        "quoted": ['working_dir: "/a', f'{pad}b"'],
        "null": ["restart:"],
    }
    limits = {
        "none": [],
        "deploy": ["deploy:", f"{pad}replicas: 1"],
        "empty": ["deploy:"],
        "memory": ["deploy:", f"{pad}resources:", f"{pad * 2}limits:", f"{pad * 3}memory: 64m"],
        "flowing": ["deploy: {resources: {limits: {memory: '64M'}}}"],
        "quoted": [
            "deploy:",
            f"{pad}resources:",
            f"{pad * 2}limits:",
            f'{pad * 3}cpus: "0.5"  # half',
            f'{pad * 3}memory: "64m"',
        ],
        "reserved": ["deploy:", f"{pad}resources:", f"{pad * 2}reservations:", f"{pad * 3}memory: 8m"],
        "own": ["mem_limit: 64m", "cpus: 0.5"],
        "alias": ["deploy: *deploy"],
        "merge": ["<<: *base"],
    }
    blocks += [extra[name] for name in draw(st.lists(st.sampled_from(sorted(extra)), unique=True, max_size=3))]
    if {"block", "kept"} <= {name for name in extra if extra[name] in blocks}:
        blocks.remove(extra["kept"])
    blocks.append(limits[draw(st.sampled_from(sorted(limits)))])
    lines = []
    for block in draw(st.permutations(blocks)):
        lines += [*draw(_BLANKS), *block]
    return lines + draw(_BLANKS)


@st.composite
def compose_files(draw: st.DrawFn) -> str:
    """A whole file with two or three services, an extension with limits to merge and a deploy section to alias."""
    step = draw(st.sampled_from([1, 2, 3, 4, 8]))
    pad = " " * step
    lines = draw(st.sampled_from([[], ["---"], ["# head", ""], ["version: '3.8'"]]))
    lines = [
        *lines,
        "x-deploy: &deploy",
        f"{pad}replicas: 2",
        "x-base: &base",
        f"{pad}init: true",
        f"{pad}deploy: *deploy",
        "services:",
    ]
    for name in ["web", '"db"', "job"][: draw(st.integers(1, 3))]:
        lines += [f"{pad}{name}:" + draw(st.sampled_from(["", "  ", "  # service"]))]
        lines += [pad * 2 + line if line else line for line in draw(_service(step))]
    lines += draw(st.sampled_from([[], ["", "volumes:", f"{pad}data:"], ["# the end"]]))
    text = draw(st.sampled_from(["\n", "\r\n"])).join(lines)
    final = "" if draw(st.booleans()) else ("\r\n" if "\r\n" in text else "\n")
    return draw(st.sampled_from(["", "\ufeff"])) + text + final

"""What CIS and docker-bench readers expect: privileges, namespaces, mounts, process limits,
restarts.

Each is judged by the compose file and by the containers; either one can break the rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from capacity._compose import Service
from capacity._compose.setting_paths import SETTING_PATHS, declared_setting
from capacity.compliance._facts.facts import DeclaredService, Facts, RunningContainer
from capacity.compliance._facts.hardening_profile import HardeningProfile, is_docker_socket
from capacity.compliance._facts.host_paths import host_paths
from capacity.compliance._rules.registry import check
from capacity.compliance._verdicts import Evidence, Verdict, failed, passed, unknown
from capacity.model import Setting, Value

_Path = str | tuple[str, ...]


def _items(key: str, texts: Iterable[str], is_wrong: Callable[[str], object]) -> tuple[str, ...]:
    """The places of the wrong items of a list."""
    return tuple(f"{key}.{number}" for number, text in enumerate(texts) if is_wrong(text))


def _owner(declared: DeclaredService, key: str) -> DeclaredService:
    """The service whose namespace it is: of `service:NAME` the other one, and so on."""
    known = {declared.service.name}
    while True:
        kind, _, name = str(declared.service.model.get(key) or "").partition(":")
        other = declared.project.services.get(name) if kind == "service" else None
        if other is None or name in known:
            return declared
        known.add(name)
        declared = replace(declared, service=other)


def _judge(
    facts: Facts,
    declared: Callable[[DeclaredService], str],
    live: Callable[[RunningContainer], str],
    *,
    paths: tuple[str, ...],
    threshold: str,
    good: str,
    look: str,
    place: Callable[[DeclaredService], tuple[_Path, ...]] = lambda _: (),
    causes: Callable[[Service | HardeningProfile], tuple[str, ...]] = lambda _: (),
) -> Iterator[Verdict]:
    """Verdicts from two functions that name the fault, or give nothing.

    Args:
        facts: what is known.
        declared: the fault of a declared service.
        live: that of a container whose posture is known.
        paths: where in the service it stands, the first that is there.
        threshold: what is allowed.
        good: what is said of those without fault.
        look: what of `docker inspect` shows it.
        place: where the fault itself stands, for lists and services with several such keys.
        causes: the name of each fault, for waivers.
    """
    for key, pair in facts.pairs:
        fault = declared(pair)
        where = pair.where(*(place(pair) if fault else ()), *paths)
        evidence = Evidence.at(where, fault or good, threshold)
        if fault:
            yield failed(key, fault, evidence, causes(pair.service))
        else:
            yield passed(key, good, evidence)
    for key, containers in facts.live.items():
        for container in containers:
            query = f"docker inspect -f '{{{{.HostConfig.{look}}}}}' {container.container.name}"
            shown = Evidence(threshold=threshold, query=query, host=container.container.host)
            yield _judge_live(key, container, live, shown, good, causes)


def _judge_live(
    key: str,
    container: RunningContainer,
    live: Callable[[RunningContainer], str],
    shown: Evidence,
    good: str,
    causes: Callable[[Service | HardeningProfile], tuple[str, ...]],
) -> Verdict:
    name = container.container.name
    if container.posture is None:
        return unknown(key, f"{name}: the Engine was not asked for it", shown)
    if fault := live(container):
        return failed(key, f"{name} {fault}", shown, causes(container.posture))
    return passed(key, f"{name} {good}", shown)


@check("privileged", "files", "engine")
def privileged(
    facts: Facts, *, capabilities: tuple[str, ...] = ("ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO")
) -> Iterator[Verdict]:
    """No container is privileged, nor has one of the `capabilities` that amount to it."""

    def plain(name: str) -> str:
        return name.upper().removeprefix("CAP_")

    def causes(profile: Service | HardeningProfile) -> tuple[str, ...]:
        names = {*map(plain, profile.cap_add)}
        found = tuple(name for name in capabilities if name in names)
        return ("privileged", *found) if profile.privileged else found

    def of_profile(profile: Service | HardeningProfile) -> str:
        if profile.privileged:
            return "is privileged: root in it is root on the host"
        found = ", ".join(causes(profile))
        return f"adds {found}: nearly privileged" if found else ""

    yield from _judge(
        facts,
        lambda fact: of_profile(fact.service),
        lambda fact: of_profile(fact.posture) if fact.posture else "",
        paths=("privileged", "cap_add"),
        threshold="not privileged, no " + ", ".join(capabilities),
        good="is not privileged",
        look="Privileged}} {{.HostConfig.CapAdd",
        causes=causes,
        place=lambda fact: (
            ("privileged",)
            if fact.service.privileged
            else _items("cap_add", fact.service.cap_add, lambda name: plain(name) in capabilities)
        ),
    )


@check("host-namespaces", "files", "engine")
def host_namespaces(facts: Facts) -> Iterator[Verdict]:
    """No container shares the processes, the shared memory or the users of its host."""
    names = ("processes (pid)", "shared memory (ipc)", "users (userns_mode)")
    keys = ("pid", "ipc", "userns_mode")

    def modes_of(declared: DeclaredService) -> list[object]:
        return [_owner(declared, key).service.model.get(key) for key in keys]

    def of_modes(*modes: object) -> str:
        found = [name for name, mode in zip(names, modes, strict=True) if mode == "host"]
        return f"shares with its host: {', '.join(found)}" if found else ""

    yield from _judge(
        facts,
        lambda fact: of_modes(*modes_of(fact)),
        lambda fact: (
            of_modes(fact.posture.pid_mode, fact.posture.ipc_mode, fact.posture.userns_mode)
            if fact.posture
            else ""
        ),
        paths=keys,
        threshold="namespaces of its own",
        good="does not ask for its host's processes, shared memory or users",
        look="PidMode}} {{.HostConfig.IpcMode}} {{.HostConfig.UsernsMode",
        place=lambda fact: tuple(
            key for key, mode in zip(keys, modes_of(fact), strict=True) if mode == "host"
        ),
    )


@check("confined", "files", "engine")
def confined(facts: Facts) -> Iterator[Verdict]:
    """No container runs without the seccomp filter or the AppArmor profile of the Engine."""
    unconfined = re.compile(r"[a-z]+[:=]unconfined").fullmatch

    def of_options(options: tuple[str, ...]) -> str:
        found = [text for text in options if unconfined(text)]
        return f"switches protection off: {', '.join(found)}" if found else ""

    yield from _judge(
        facts,
        lambda fact: of_options(fact.service.security_opt),
        lambda fact: of_options(fact.posture.security_opt) if fact.posture else "",
        paths=("security_opt",),
        threshold="no security_opt that is unconfined",
        good="has no option that switches protection off",
        look="SecurityOpt}} {{.HostConfig.MaskedPaths",
        place=lambda fact: _items("security_opt", fact.service.security_opt, unconfined),
    )


@check("host-network", "files", "engine")
def host_network(facts: Facts) -> Iterator[Verdict]:
    """No container shares the host's network."""
    fault = "shares the network of its host"

    def host_networks(declared: DeclaredService) -> tuple[_Path, ...]:
        """The service's networks that are the Engine's `host`, whatever the project calls them."""
        known = declared.project.model.get("networks", {})
        return tuple(
            ("networks", name)
            for name in declared.service.networks
            if (known.get(name) or {}).get("name") == "host"
        )

    def of_service(declared: DeclaredService) -> str:
        owner = _owner(declared, "network_mode")
        if owner.service.network_mode != "host" and not host_networks(owner):
            return ""
        return fault if owner is declared else f"{fault} through {owner.service.name}"

    yield from _judge(
        facts,
        of_service,
        lambda fact: fault if fact.posture and fact.posture.network_mode == "host" else "",
        paths=("network_mode", "networks"),
        threshold="a network of its own",
        good="does not ask for the network of its host",
        look="NetworkMode",
        place=host_networks,
    )


@check("docker-socket", "files", "engine")
def docker_socket(facts: Facts) -> Iterator[Verdict]:
    """No container can reach the Engine's socket; mounting it read-only protects nothing."""

    def of_paths(paths: Iterable[str]) -> str:
        found = next((path for path in paths if is_docker_socket(path)), "")
        return f"mounts {found}, which gives it the Engine" if found else ""

    yield from _judge(
        facts,
        lambda fact: (
            "asks for the Engine's socket"
            if fact.service.model.get("use_api_socket")
            else of_paths(path for _, path in host_paths(fact))
        ),
        lambda fact: of_paths(fact.posture.mounts) if fact.posture else "",
        paths=("use_api_socket", "volumes"),
        threshold="no mount of the Engine's socket",
        good="does not mount the Engine's socket",
        look="Binds",
        place=lambda fact: (
            ("use_api_socket",)
            if fact.service.model.get("use_api_socket")
            else tuple(place for place, path in host_paths(fact) if is_docker_socket(path))
        ),
    )


@check("pids-limit", "files", "engine")
def pids_limit(facts: Facts, *, most: Annotated[int, Field(ge=1)] = 100_000) -> Iterator[Verdict]:
    """Every container has a limit of processes, and not a higher one than `most`."""

    def of_limit(limit: int | None) -> str:
        if limit is None or limit <= 0:
            return "has no limit of processes"
        return f"may start {limit} processes" if limit > most else ""

    yield from _judge(
        facts,
        lambda fact: of_limit(fact.service.resources.pids),
        lambda fact: of_limit(fact.container.pids),
        paths=SETTING_PATHS[Setting.PIDS],
        threshold=f"at most {most}",
        good="has a limit of processes",
        look="PidsLimit",
    )


@check("ulimits", "files", "engine")
def ulimits(
    facts: Facts,
    *,
    bounded: Annotated[tuple[str, ...], Field(min_length=1)] = ("nofile", "nproc"),
    most: Annotated[int, Field(ge=1)] = 1_048_576,
) -> Iterator[Verdict]:
    """No container raises one of the `bounded` ulimits above `most` or sets it to unlimited."""

    def high(limits: Value) -> dict[str, str]:
        said = limits if isinstance(limits, dict) else {}
        return {name: text for name in bounded if _is_above(text := str(said.get(name, 0)), most)}

    def of_ulimits(limits: Value) -> str:
        found = [f"{name} to {text}" for name, text in high(limits).items()]
        return f"sets {', '.join(found)}" if found else ""

    yield from _judge(
        facts,
        lambda fact: of_ulimits(declared_setting(fact.service.model, Setting.ULIMITS)),
        lambda fact: of_ulimits(fact.container.ulimits),
        paths=SETTING_PATHS[Setting.ULIMITS],
        threshold=f"at most {most}",
        good=f"does not raise {' or '.join(bounded)} above {most}",
        look="Ulimits",
        place=lambda fact: tuple(
            ("ulimits", name)
            for name in high(declared_setting(fact.service.model, Setting.ULIMITS))
        ),
    )


def _is_above(ulimit: str, most: int) -> bool:
    """Whether the hard bound of a ulimit, its last, is above a number; -1 is without end."""
    hard = int(ulimit.rpartition(":")[2])
    return hard < 0 or hard > most


_ON = re.compile(r"no-new-privileges(?:[:=](?:1|[tT]|true|True|TRUE))?")
"""What the Engine takes for a yes; the last one that is said counts."""


@check("no-new-privileges", "files", "engine")
def no_new_privileges(facts: Facts) -> Iterator[Verdict]:
    """No process can gain privileges that its parent did not have."""

    def of_options(options: Iterable[str]) -> str:
        said = [text for text in options if text.startswith("no-new-privileges")]
        return "" if said and _ON.fullmatch(said[-1]) else "lets processes gain privileges"

    yield from _judge(
        facts,
        lambda fact: of_options(fact.service.security_opt),
        lambda fact: of_options(fact.posture.security_opt) if fact.posture else "",
        paths=("security_opt",),
        threshold="security_opt no-new-privileges:true",
        good="lets no process gain privileges",
        look="SecurityOpt",
        place=lambda fact: _items(
            "security_opt",
            fact.service.security_opt,
            lambda text: text.startswith("no-new-privileges"),
        )[-1:],
    )


@check("read-only-root", "files", "engine")
def read_only_root(facts: Facts) -> Iterator[Verdict]:
    """The root file system of every container is read-only."""
    fault = "can write to its root file system"
    yield from _judge(
        facts,
        lambda fact: "" if fact.service.read_only else fault,
        lambda fact: "" if fact.posture and fact.posture.read_only else fault,
        paths=("read_only",),
        threshold="read_only: true",
        good="has a read-only root file system",
        look="ReadonlyRootfs",
    )


@check("restart-bounded", "files", "engine")
def restart_bounded(facts: Facts, *, most: Annotated[int, Field(ge=1)] = 5) -> Iterator[Verdict]:
    """A broken container is not restarted without end: `no`, or `on-failure` with at most so many
    tries.
    """

    def of_policy(policy: str) -> str:
        name, _, tries = policy.partition(":")
        if name in {"", "no"} and not tries:
            return ""
        if name == "on-failure" and tries.isdigit() and 0 < int(tries) <= most:
            return ""
        if tries and name != "on-failure":
            return f"declares {policy}, which the Engine refuses: only on-failure has tries"
        return (
            f"restarts without bound ({policy})"
            if not tries
            else f"restarts {tries} times ({policy})"
        )

    yield from _judge(
        facts,
        lambda fact: of_policy(fact.service.restart or "no"),
        lambda fact: of_policy(fact.container.restart_policy),
        paths=SETTING_PATHS[Setting.RESTART_POLICY],
        threshold=f"no, or on-failure:{most}",
        good="restarts within bounds",
        look="RestartPolicy",
    )

"""Which keys Compose knows, and what kind of value each must have.

Kinds: `s` text, `n` number, `i` whole number, `b` boolean, `z` nothing, `l` list of texts, `m` mapping or list of NAME=value,
`e` the same with scalars, `o` any mapping, `a` any list. Several stand together: `sl` is a text or a list of texts.
"""

from __future__ import annotations

from typing import Any

from capacity.errors import ComposeError
from capacity.inventory.compose.nodes import Origin
from capacity.inventory.compose.tree import Items, Map

__all__ = ["check_shape"]

_LIMITS = {"cpus": "ns", "memory": "s", "pids": "is"}
_UPDATE = {"parallelism": "is", "delay": "s", "failure_action": "s", "monitor": "s", "max_failure_ratio": "ns", "order": "s"}
_DEPLOY = {
    "mode": "s",
    "endpoint_mode": "s",
    "replicas": "is",
    "labels": "m",
    "rollback_config": _UPDATE,
    "update_config": _UPDATE,
    "resources": {"limits": _LIMITS, "reservations": {"cpus": "ns", "memory": "s", "generic_resources": "a", "devices": "a"}},
    "restart_policy": {"condition": "s", "delay": "s", "max_attempts": "is", "window": "s"},
    "placement": {"constraints": "l", "preferences": "a", "max_replicas_per_node": "is"},
}
_BUILD = {
    **dict.fromkeys(("context", "dockerfile", "dockerfile_inline", "isolation", "network", "target", "pull_policy"), "s"),
    **dict.fromkeys(("entitlements", "cache_from", "cache_to", "platforms", "tags"), "l"),
    **dict.fromkeys(("ssh", "args", "labels"), "m"),
    "no_cache": "bs",
    "additional_contexts": "m",
    "pull": "bs",
    "shm_size": "is",
    "extra_hosts": "m",
    "secrets": "a",
    "privileged": "bs",
    "ulimits": "o",
}
_SERVICE: dict[str, Any] = {
    **dict.fromkeys(("image", "container_name", "cgroup", "cgroup_parent", "cpuset", "domainname", "hostname", "ipc"), "s"),
    **dict.fromkeys(("isolation", "mac_address", "network_mode", "pid", "platform", "pull_policy", "restart", "runtime"), "s"),
    **dict.fromkeys(("stop_grace_period", "stop_signal", "user", "userns_mode", "uts", "working_dir"), "s"),
    **dict.fromkeys(("mem_limit", "mem_reservation", "memswap_limit", "shm_size", "cpu_shares", "cpu_quota", "cpu_period"), "ns"),
    **dict.fromkeys(("cpus", "cpu_rt_period", "cpu_rt_runtime", "pids_limit", "mem_swappiness"), "ns"),
    **dict.fromkeys(("cpu_count", "scale", "oom_score_adj"), "is"),
    **dict.fromkeys(("attach", "init", "oom_kill_disable", "privileged", "read_only", "stdin_open", "tty"), "bs"),
    **dict.fromkeys(("annotations", "labels", "sysctls", "extra_hosts"), "m"),
    **dict.fromkeys(("cap_add", "cap_drop", "device_cgroup_rules", "dns_opt", "external_links", "links", "security_opt"), "l"),
    **dict.fromkeys(("volumes_from", "profiles"), "l"),
    **dict.fromkeys(("command", "entrypoint"), "zsl"),
    **dict.fromkeys(("dns", "dns_search", "label_file", "tmpfs"), "sl"),
    **dict.fromkeys(("configs", "secrets", "devices", "volumes", "expose", "ports", "group_add"), "a"),
    "build": "so",
    "blkio_config": "o",
    "cpu_percent": "ns",
    "credential_spec": "o",
    "depends_on": "lo",
    "deploy": _DEPLOY,
    "develop": "o",
    "env_file": "sa",
    "environment": "e",
    "extends": "so",
    "gpus": "sa",
    "networks": "lo",
    "ulimits": "o",
    "healthcheck": {
        "disable": "bs",
        "interval": "s",
        "retries": "ns",
        "test": "sl",
        "timeout": "s",
        "start_period": "s",
        "start_interval": "s",
    },
    "logging": {"driver": "s", "options": "o"},
    "post_start": "a",
    "pre_stop": "a",
    "storage_opt": "o",
    "provider": "o",
}
_EXTERNAL = {"name": "s", "external": "bso", "labels": "m"}
_ROOT: dict[str, Any] = {
    "name": "s",
    "version": "s",
    "include": "a",
    **dict.fromkeys(("services", "networks", "volumes", "secrets", "configs"), "o"),
}
_RESOURCES: dict[str, dict[str, Any]] = {
    "networks": {
        **_EXTERNAL,
        "driver": "s",
        "driver_opts": "o",
        "ipam": {"driver": "s", "config": "a", "options": "o"},
        "internal": "bs",
        "enable_ipv4": "bs",
        "enable_ipv6": "bs",
        "attachable": "bs",
    },
    "volumes": {**_EXTERNAL, "driver": "s", "driver_opts": "o"},
    "secrets": {**_EXTERNAL, "environment": "s", "file": "s", "driver": "s", "driver_opts": "o", "template_driver": "s"},
    "configs": {**_EXTERNAL, "content": "s", "environment": "s", "file": "s", "template_driver": "s"},
}
_NAMES = {
    "s": "text",
    "n": "a number",
    "i": "a whole number",
    "b": "true or false",
    "z": "nothing",
    "l": "a list of texts",
    "m": "a mapping or a list",
    "e": "a mapping or a list",
    "o": "a mapping",
    "a": "a list",
}


def check_shape(model: Map) -> None:
    """Refuse unknown keys and values of the wrong kind.

    Raises:
        ComposeError: the first of them, with its place.
    """
    _check(model, _ROOT, ())
    for name, service in (model.get("services") or {}).items():
        _check(service, _SERVICE, ("services", name), model["services"].origin(name))
        if isinstance(service.get("build"), Map):
            _check(service["build"], _BUILD, ("services", name, "build"))
    for section, known in _RESOURCES.items():
        for name, resource in (model.get(section) or {}).items():
            if resource is not None:
                _check(resource, known, (section, name), model[section].origin(name))


def _check(value: Any, known: Any, path: tuple[str, ...], origin: Origin | None = None) -> None:
    if isinstance(known, str):
        if not any(_fits(value, kind) for kind in known):
            wanted = " or ".join(_NAMES[kind] for kind in known)
            raise _wrong(path, origin, f"must be {wanted}", "Correct the value")
        return
    if value is None and path[-1:] == ("deploy",):  # of all mappings only this one may be empty
        return
    if not isinstance(value, Map):
        raise _wrong(path, origin, "must be a mapping", "Write keys and values below it")
    for name, item in value.items():
        if name.startswith("x-"):
            continue
        if name not in known:
            raise _wrong(
                (*path, name), value.origin(name), "is no key that Compose knows", "Correct its name, or begin it with x-"
            )
        _check(item, known[name], (*path, name), value.origin(name))


def _wrong(path: tuple[str, ...], origin: Origin | None, cause: str, hint: str) -> ComposeError:
    where = f"{origin}: " if origin else ""
    return ComposeError(f"{where}{'.'.join(path)} {cause}", hint, origin=origin)


def _fits(value: Any, kind: str) -> bool:
    if kind == "s":
        return isinstance(value, str)
    if kind in "ni":
        whole = isinstance(value, int) or (isinstance(value, float) and (kind == "n" or value.is_integer()))
        return whole and not isinstance(value, bool)
    if kind == "b":
        return isinstance(value, bool)
    if kind == "z":
        return value is None
    if kind in "oa":
        return isinstance(value, Map if kind == "o" else Items)
    if kind == "l":
        return isinstance(value, Items) and all(isinstance(item, str) for item in value)
    if isinstance(value, Items):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, Map)

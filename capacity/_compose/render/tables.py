"""How each key of a service is printed: tables of rules by the keys, one for each mapping."""

from __future__ import annotations

from typing import Any

from capacity._compose.render.go_values import (
    Field,
    boolean,
    duration,
    each,
    given,
    go_text_of,
    hosts,
    integer,
    labels,
    listed,
    names,
    rate,
    real,
    scalars,
    size,
    structure,
    texts,
    texts_by_name,
    unsigned,
    variables,
    words,
)
from capacity._compose.yaml.tree import Map
from capacity.errors import ComposeError

__all__ = ["HEALTHCHECK", "SERVICE"]


def _switch(value: Any) -> str:
    """A text, or on and off."""
    return str(value).lower() if isinstance(value, bool) else go_text_of(value)


def _listed_texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else texts(value)


def _options(value: Map) -> dict[str, list[str]]:
    """What a provider is told, each as a list."""
    return {
        name: texts(item) if isinstance(item, list) else [go_text_of(item)]
        for name, item in value.items()
    }


def _test(value: Any) -> list[str]:
    return ["CMD-SHELL", value] if isinstance(value, str) else texts(value)


def _count(value: Any) -> int:
    if isinstance(value, float):
        raise ComposeError(f"{value!r} is no number of devices", "Write for example 1, or all")
    return -1 if isinstance(value, str) and value.lower() == "all" else integer(value)


def _ulimit(value: Any) -> Any:
    """One number for both, or the two; Compose prints a zero as nothing."""
    return _ULIMIT(value) if isinstance(value, Map) else _bound(value) or {}


def _bound(value: Any) -> int:
    if not isinstance(value, int):
        raise ComposeError(f"{value!r} is no whole number", "Write for example 1024")
    return value


def _keys(value: Any) -> list[str]:
    """SSH keys by name, with their path where they have one."""
    return [name if path is None else f"{name}: {path}" for name, path in value.items()]


def _throttle(value: Map) -> dict[str, Any]:
    return {"Path": value.get("path", ""), "Rate": rate(value.get("rate", 0))}


def _weight(value: Map) -> dict[str, Any]:
    return {"Path": value.get("path", ""), "Weight": unsigned(value.get("weight", 0))}


def _discrete(value: Map) -> dict[str, Any]:
    return {"kind": value.get("kind", ""), "value": integer(value.get("value", 0))}


def _span(value: Any) -> str | None:
    """A duration that no pointer holds: zero is none."""
    printed = duration(value)
    return None if printed == "0s" else printed


_ULIMIT = structure(each(_bound, "soft", "hard"))


_ULIMITS = names(_ulimit)


_HOOK = structure(
    {
        **each(go_text_of, "user", "working_dir"),
        "command": Field(words, always=True),
        "privileged": Field(boolean),
        "environment": Field(variables),
    }
)


_FILES = listed(
    structure({**each(go_text_of, "source", "target", "uid", "gid"), **given(unsigned, "mode")})
)


_DEVICES = listed(
    structure(
        {
            **each(texts, "capabilities", "device_ids"),
            "driver": Field(go_text_of),
            "count": Field(_count),
            "options": Field(labels),
        }
    )
)


_UPDATE = structure(
    {
        **each(go_text_of, "failure_action", "order"),
        **each(_span, "delay", "monitor"),
        **given(unsigned, "parallelism"),
        "max_failure_ratio": Field(real),
    }
)


_GENERIC = structure(given(_discrete, "discrete_resource_spec"))


_RESOURCE = structure(
    {
        "cpus": Field(real),
        "memory": Field(size),
        "pids": Field(integer),
        "devices": Field(_DEVICES),
        "generic_resources": Field(listed(_GENERIC)),
    }
)


_DEPLOY = structure(
    {
        **each(go_text_of, "mode", "endpoint_mode"),
        **given(_UPDATE, "update_config", "rollback_config"),
        **given(integer, "replicas"),
        **given(
            structure(
                {
                    "condition": Field(go_text_of),
                    **given(duration, "delay", "window"),
                    **given(unsigned, "max_attempts"),
                }
            ),
            "restart_policy",
        ),
        "labels": Field(labels),
        "resources": Field(structure(given(_RESOURCE, "limits", "reservations")), always=True),
        "placement": Field(
            structure(
                {
                    "constraints": Field(texts),
                    "preferences": Field(listed(structure(each(go_text_of, "spread")))),
                    "max_replicas_per_node": Field(unsigned),
                }
            ),
            always=True,
        ),
    }
)


_BUILD = structure(
    {
        **each(
            go_text_of,
            "context",
            "dockerfile",
            "dockerfile_inline",
            "isolation",
            "network",
            "target",
        ),
        **each(_switch, "provenance", "sbom"),
        **each(texts, "entitlements", "cache_from", "cache_to", "tags", "platforms"),
        **each(boolean, "no_cache", "pull", "privileged"),
        **each(labels, "labels", "additional_contexts"),
        "args": Field(variables),
        "ssh": Field(_keys),
        "extra_hosts": Field(hosts, given=True),
        "secrets": Field(_FILES),
        "shm_size": Field(size),
        "ulimits": Field(_ULIMITS),
    }
)


_VOLUME_MOUNT = structure(
    {
        **each(go_text_of, "type", "source", "target", "consistency"),
        "read_only": Field(boolean),
        **given(
            structure(
                {
                    **each(go_text_of, "selinux", "propagation", "recursive"),
                    "create_host_path": Field(boolean),
                }
            ),
            "bind",
        ),
        **given(structure({"nocopy": Field(boolean), "subpath": Field(go_text_of)}), "volume"),
        **given(structure(each(go_text_of, "subpath")), "image"),
        **given(structure({"size": Field(size), "mode": Field(unsigned)}), "tmpfs"),
    }
)


_PORT = structure(
    {
        **each(go_text_of, "name", "mode", "host_ip", "published", "protocol", "app_protocol"),
        "target": Field(unsigned),
    }
)


_ATTACHMENT = structure(
    {
        **each(integer, "priority", "gw_priority"),
        **each(texts, "aliases", "link_local_ips"),
        **each(go_text_of, "interface_name", "ipv4_address", "ipv6_address", "mac_address"),
        "driver_opts": Field(labels),
    }
)


_WATCH = structure(
    {
        "path": Field(go_text_of, given=True),
        "action": Field(go_text_of, given=True),
        "target": Field(go_text_of),
        "exec": Field(_HOOK, always=True),
        **each(_listed_texts, "ignore", "include"),
        "initial_sync": Field(boolean),
    }
)


HEALTHCHECK = structure(
    {
        "test": Field(_test),
        **given(duration, "timeout", "interval", "start_period", "start_interval"),
        **given(unsigned, "retries"),
        "disable": Field(boolean),
    }
)


SERVICE = structure(
    {
        **each(
            go_text_of,
            "cgroup",
            "cgroup_parent",
            "container_name",
            "cpuset",
            "domainname",
            "hostname",
            "image",
            "ipc",
        ),
        **each(
            go_text_of,
            "isolation",
            "mac_address",
            "network_mode",
            "pid",
            "platform",
            "pull_policy",
            "restart",
            "runtime",
        ),
        **each(go_text_of, "stop_signal", "user", "userns_mode", "uts", "working_dir"),
        **each(
            texts,
            "cap_add",
            "cap_drop",
            "device_cgroup_rules",
            "dns",
            "dns_opt",
            "dns_search",
            "external_links",
        ),
        **each(
            texts,
            "group_add",
            "label_file",
            "links",
            "profiles",
            "security_opt",
            "tmpfs",
            "volumes_from",
        ),
        **each(
            integer,
            "cpu_count",
            "cpu_period",
            "cpu_quota",
            "cpu_rt_period",
            "cpu_rt_runtime",
            "cpu_shares",
        ),
        **each(integer, "oom_score_adj", "pids_limit"),
        **each(real, "cpu_percent", "cpus"),
        **each(size, "mem_limit", "mem_reservation", "memswap_limit", "mem_swappiness", "shm_size"),
        **each(boolean, "oom_kill_disable", "privileged", "read_only", "stdin_open", "tty"),
        **given(boolean, "attach", "init"),
        **each(labels, "annotations", "labels", "sysctls"),
        **each(_FILES, "configs", "secrets"),
        **each(listed(_HOOK), "pre_start", "post_start", "pre_stop"),
        "models": Field(names(structure(each(go_text_of, "endpoint_var", "model_var")))),
        **given(structure({"type": Field(go_text_of), "options": Field(_options)}), "provider"),
        "use_api_socket": Field(boolean),
        "command": Field(words, always=True),
        "entrypoint": Field(words, always=True),
        **given(_BUILD, "build"),
        **given(_DEPLOY, "deploy"),
        **given(HEALTHCHECK, "healthcheck"),
        **given(structure(each(listed(_WATCH), "watch")), "develop"),
        **given(structure({"driver": Field(go_text_of), "options": Field(labels)}), "logging"),
        **given(structure(each(go_text_of, "config", "file", "registry")), "credential_spec"),
        **given(
            structure(
                {
                    "weight": Field(unsigned),
                    "weight_device": Field(listed(_weight)),
                    **each(
                        listed(_throttle),
                        "device_read_bps",
                        "device_read_iops",
                        "device_write_bps",
                        "device_write_iops",
                    ),
                }
            ),
            "blkio_config",
        ),
        **given(integer, "scale"),
        **given(duration, "stop_grace_period"),
        "depends_on": Field(
            names(
                structure(
                    {
                        "condition": Field(go_text_of),
                        "restart": Field(boolean),
                        "required": Field(boolean, given=True),
                    }
                )
            )
        ),
        "devices": Field(listed(structure(each(go_text_of, "source", "target", "permissions")))),
        "environment": Field(variables),
        "expose": Field(scalars),
        "extra_hosts": Field(hosts, given=True),
        "gpus": Field(_DEVICES),
        "networks": Field(names(_ATTACHMENT)),
        "ports": Field(listed(_PORT)),
        "storage_opt": Field(texts_by_name),
        "ulimits": Field(_ULIMITS),
        "volumes": Field(listed(_VOLUME_MOUNT)),
    }
)

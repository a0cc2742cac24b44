"""Compose's own schema as a table: which keys there are, and what may stand at each.

It follows the specification as Compose 2.40 reads it, and is tested against 2.26 too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ROOT", "SchemaNode"]


@dataclass(frozen=True, slots=True)
class SchemaNode:
    """What a value may be; what is not mentioned, it may not.

    Attributes:
        kinds: `s` text, `n` number, `i` whole number, `b` boolean, `z` nothing, `o` any mapping.
        choices: the only texts, when there are such.
        form: of the texts that are possible beside them.
        least: the smallest number.
        most: the largest number.
        items: what an item of a list is.
        distinct: no item of the list may stand there twice.
        keys: a mapping with these keys, each with what stands there.
        required: those of the keys that must be there.
        extensible: whether keys that begin with `x-` may stand beside them.
        loose: whether any other key may.
        values: a mapping of names of any kind to this.
        names: the form of those names; others are refused, or not looked at when `loose`.
    """

    kinds: str = ""
    choices: frozenset[str] = frozenset()
    form: re.Pattern[str] | None = None
    least: float | None = None
    most: float | None = None
    items: SchemaNode | None = None
    distinct: bool = False
    keys: Mapping[str, SchemaNode] | None = None
    required: tuple[str, ...] = ()
    extensible: bool = True
    loose: bool = False
    values: SchemaNode | None = None
    names: re.Pattern[str] = field(default=re.compile(r"."))


_NAME = re.compile(r"[a-zA-Z0-9._-]+\Z")

_TEXT = SchemaNode("s")
_NUMBER = SchemaNode("ns")
_WHOLE = SchemaNode("is")
_TRUTH = SchemaNode("bs")
_LIST = SchemaNode(items=_TEXT)
_SET = SchemaNode(items=_TEXT, distinct=True)
_TEXT_OR_LIST = SchemaNode("s", items=_TEXT)
_TEXT_OR_SET = SchemaNode("s", items=_TEXT, distinct=True)
_PAIRS = SchemaNode(values=SchemaNode("snbz"), items=_TEXT, distinct=True)
_HOSTS = SchemaNode(values=_TEXT_OR_LIST, items=_TEXT, distinct=True)
_OPTIONS = SchemaNode(values=SchemaNode("sn"), loose=True)
_COMMAND = SchemaNode("zs", items=_TEXT)


def _keys(kinds: str = "", /, **keys: SchemaNode) -> SchemaNode:
    return SchemaNode(kinds, keys=keys)


def _each(shape: SchemaNode, *names: str) -> dict[str, SchemaNode]:
    return dict.fromkeys(names, shape)


_UPDATE = SchemaNode(
    keys={
        **_each(_TEXT, "delay", "failure_action", "monitor"),
        "parallelism": _WHOLE,
        "max_failure_ratio": _NUMBER,
        "order": SchemaNode("s", choices=frozenset({"start-first", "stop-first"})),
    }
)
_DEVICE_KEYS = {
    "capabilities": _SET,
    "count": _WHOLE,
    "device_ids": _SET,
    "driver": _TEXT,
    "options": _PAIRS,
}
_RESERVATIONS = _keys(
    cpus=_NUMBER,
    memory=_TEXT,
    generic_resources=SchemaNode(
        items=_keys(discrete_resource_spec=_keys(kind=_TEXT, value=_NUMBER))
    ),
    devices=SchemaNode(items=SchemaNode(keys=_DEVICE_KEYS, required=("capabilities",))),
)
_DEPLOY = SchemaNode(
    "z",
    keys={
        **_each(_TEXT, "mode", "endpoint_mode"),
        **_each(_UPDATE, "rollback_config", "update_config"),
        "replicas": _WHOLE,
        "labels": _PAIRS,
        "resources": _keys(
            limits=_keys(cpus=_NUMBER, memory=_TEXT, pids=_WHOLE), reservations=_RESERVATIONS
        ),
        "restart_policy": _keys(condition=_TEXT, delay=_TEXT, max_attempts=_WHOLE, window=_TEXT),
        "placement": _keys(
            constraints=_LIST,
            preferences=SchemaNode(items=_keys(spread=_TEXT)),
            max_replicas_per_node=_WHOLE,
        ),
    },
)
_FILES = SchemaNode(
    items=SchemaNode("s", keys={**_each(_TEXT, "source", "target", "uid", "gid"), "mode": _NUMBER})
)
_LIMIT = SchemaNode(keys={"hard": _WHOLE, "soft": _WHOLE}, required=("soft", "hard"), kinds="is")
_ULIMITS = SchemaNode(values=_LIMIT, names=re.compile(r"[a-z]+\Z"), loose=True)
_BUILD = SchemaNode(
    "s",
    keys={
        **_each(
            _TEXT, "context", "dockerfile", "dockerfile_inline", "isolation", "network", "target"
        ),
        **_each(_LIST, "entitlements", "cache_from", "cache_to", "platforms", "tags"),
        **_each(_PAIRS, "ssh", "args", "labels", "additional_contexts"),
        **_each(_TRUTH, "no_cache", "pull", "privileged"),
        "shm_size": _WHOLE,
        **_each(SchemaNode("sb"), "provenance", "sbom"),
        "extra_hosts": _HOSTS,
        "secrets": _FILES,
        "ulimits": _ULIMITS,
    },
)
_HOOK = _keys(
    command=_COMMAND, user=_TEXT, privileged=_TRUTH, working_dir=_TEXT, environment=_PAIRS
)
_WATCH = SchemaNode(
    keys={
        **_each(_TEXT_OR_LIST, "ignore", "include"),
        "initial_sync": _TRUTH,
        "path": _TEXT,
        "action": SchemaNode(
            "s", choices=frozenset({"rebuild", "sync", "restart", "sync+restart", "sync+exec"})
        ),
        "target": _TEXT,
        "exec": _HOOK,
    },
    required=("path", "action"),
)
_RATES = SchemaNode(items=SchemaNode(keys={"path": _TEXT, "rate": _WHOLE}, extensible=False))
_BLKIO = SchemaNode(
    keys={
        **_each(
            _RATES, "device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops"
        ),
        "weight": _WHOLE,
        "weight_device": SchemaNode(
            items=SchemaNode(keys={"path": _TEXT, "weight": _WHOLE}, extensible=False)
        ),
    },
    extensible=False,
)
_CONDITIONS = frozenset({"service_started", "service_healthy", "service_completed_successfully"})
_DEPENDENCY = SchemaNode(
    keys={
        "restart": _TRUTH,
        "required": SchemaNode("b"),
        "condition": SchemaNode("s", choices=_CONDITIONS),
    },
    required=("condition",),
)
_ATTACHMENT = SchemaNode(
    "z",
    keys={
        **_each(_SET, "aliases", "link_local_ips"),
        **_each(_TEXT, "interface_name", "ipv4_address", "ipv6_address", "mac_address"),
        **_each(SchemaNode("n"), "priority", "gw_priority"),
        "driver_opts": _OPTIONS,
    },
)
_PORT = SchemaNode(
    "ns",
    keys={
        **_each(_TEXT, "name", "mode", "host_ip", "protocol", "app_protocol"),
        **_each(_WHOLE, "target", "published"),
    },
)
_BIND = _keys(
    propagation=_TEXT,
    create_host_path=_TRUTH,
    recursive=SchemaNode("s", choices=frozenset({"enabled", "disabled", "writable", "readonly"})),
    selinux=SchemaNode("s", choices=frozenset({"z", "Z"})),
)
_MOUNT = SchemaNode(
    "s",
    keys={
        **_each(_TEXT, "type", "source", "target", "consistency"),
        "read_only": _TRUTH,
        "bind": _BIND,
        "volume": _keys(nocopy=_TRUTH, subpath=_TEXT),
        "image": _keys(subpath=_TEXT),
        "tmpfs": _keys(size=SchemaNode("is", least=0), mode=_NUMBER),
    },
    required=("type",),
)
_ENV_FILE = SchemaNode(
    "s",
    keys={**_each(_TEXT, "path", "format"), "required": _TRUTH},
    required=("path",),
    extensible=False,
)
_PULL_POLICIES = frozenset(
    {"always", "never", "if_not_present", "build", "missing", "refresh", "daily", "weekly"}
)
_EVERY = re.compile(r"every_([0-9]+[smhdw])+")
_SOME = SchemaNode("snb", items=SchemaNode("snb"))
_SERVICE = SchemaNode(
    keys={
        **_each(
            _TEXT,
            "cgroup_parent",
            "container_name",
            "cpuset",
            "domainname",
            "hostname",
            "image",
            "ipc",
            "isolation",
        ),
        **_each(
            _TEXT,
            "mac_address",
            "network_mode",
            "pid",
            "platform",
            "restart",
            "runtime",
            "stop_grace_period",
            "stop_signal",
        ),
        **_each(_TEXT, "user", "userns_mode", "uts", "working_dir"),
        **_each(
            _NUMBER,
            "cpu_period",
            "cpu_quota",
            "cpu_rt_period",
            "cpu_rt_runtime",
            "cpu_shares",
            "cpus",
            "mem_limit",
        ),
        **_each(_NUMBER, "memswap_limit", "pids_limit", "shm_size"),
        **_each(_WHOLE, "mem_reservation", "mem_swappiness", "scale"),
        **_each(
            _TRUTH,
            "attach",
            "init",
            "oom_kill_disable",
            "privileged",
            "read_only",
            "stdin_open",
            "tty",
            "use_api_socket",
        ),
        **_each(_PAIRS, "annotations", "environment", "labels", "sysctls"),
        **_each(
            _SET,
            "cap_add",
            "cap_drop",
            "device_cgroup_rules",
            "dns_opt",
            "external_links",
            "links",
            "profiles",
        ),
        **_each(_SET, "security_opt", "volumes_from"),
        **_each(_TEXT_OR_SET, "dns", "dns_search", "tmpfs"),
        **_each(_COMMAND, "command", "entrypoint"),
        **_each(_FILES, "configs", "secrets"),
        **_each(SchemaNode(items=SchemaNode("sn"), distinct=True), "expose", "group_add"),
        **_each(SchemaNode(items=_HOOK), "pre_start", "post_start", "pre_stop"),
        "blkio_config": _BLKIO,
        "build": _BUILD,
        "cgroup": SchemaNode("s", choices=frozenset({"host", "private"})),
        "cpu_count": SchemaNode("is", least=0),
        "cpu_percent": SchemaNode("is", least=0, most=100),
        "credential_spec": _keys(config=_TEXT, file=_TEXT, registry=_TEXT),
        "depends_on": SchemaNode(items=_TEXT, distinct=True, values=_DEPENDENCY, names=_NAME),
        "deploy": _DEPLOY,
        "develop": SchemaNode("z", keys={"watch": SchemaNode(items=_WATCH)}),
        "devices": SchemaNode(
            items=SchemaNode(
                "s", keys=_each(_TEXT, "source", "target", "permissions"), required=("source",)
            )
        ),
        "env_file": SchemaNode("s", items=_ENV_FILE),
        "extends": SchemaNode(
            "s", keys=_each(_TEXT, "service", "file"), required=("service",), extensible=False
        ),
        "extra_hosts": _HOSTS,
        "gpus": SchemaNode(
            "s", choices=frozenset({"all"}), items=SchemaNode(keys=_DEVICE_KEYS, loose=True)
        ),
        "healthcheck": SchemaNode(
            keys={
                **_each(_TEXT, "interval", "timeout", "start_period", "start_interval"),
                "disable": _TRUTH,
                "retries": _NUMBER,
                "test": _TEXT_OR_LIST,
            }
        ),
        "label_file": _TEXT_OR_LIST,
        "logging": _keys(driver=_TEXT, options=SchemaNode(values=SchemaNode("snz"), loose=True)),
        "networks": SchemaNode(items=_TEXT, distinct=True, values=_ATTACHMENT, names=_NAME),
        "oom_score_adj": SchemaNode("is", least=-1000, most=1000),
        "ports": SchemaNode(items=_PORT, distinct=True),
        "models": SchemaNode(
            items=_TEXT, values=_keys("z", endpoint_var=_TEXT, model_var=_TEXT), names=_NAME
        ),
        "provider": SchemaNode(
            keys={"type": _TEXT, "options": SchemaNode(values=_SOME)}, required=("type",)
        ),
        "pull_policy": SchemaNode("s", choices=_PULL_POLICIES, form=_EVERY),
        "storage_opt": SchemaNode("o"),
        "ulimits": _ULIMITS,
        "volumes": SchemaNode(items=_MOUNT, distinct=True),
    }
)
_ADDRESSES = SchemaNode(
    keys={
        **_each(_TEXT, "subnet", "ip_range", "gateway"),
        "aux_addresses": SchemaNode(values=_TEXT),
    },
)
_NETWORK = SchemaNode(
    "z",
    keys={
        **_each(_TEXT, "name", "driver"),
        **_each(_TRUTH, "internal", "enable_ipv4", "enable_ipv6", "attachable"),
        "driver_opts": _OPTIONS,
        "ipam": _keys(
            driver=_TEXT, config=SchemaNode(items=_ADDRESSES), options=SchemaNode(values=_TEXT)
        ),
        "external": _keys("bs", name=_TEXT),
        "labels": _PAIRS,
    },
)
_VOLUME = _keys(
    "z",
    name=_TEXT,
    driver=_TEXT,
    driver_opts=_OPTIONS,
    external=_keys("bs", name=_TEXT),
    labels=_PAIRS,
)
_OUTSIDE = SchemaNode("bs", keys={"name": _TEXT}, loose=True)
_SECRET = SchemaNode(
    keys={
        **_each(_TEXT, "name", "environment", "file", "driver", "template_driver"),
        "external": _OUTSIDE,
        "labels": _PAIRS,
        "driver_opts": _OPTIONS,
    }
)
_CONFIG = SchemaNode(
    keys={
        **_each(_TEXT, "name", "content", "environment", "file", "template_driver"),
        "external": _OUTSIDE,
        "labels": _PAIRS,
    }
)
_MODEL = SchemaNode(
    keys={
        **_each(_TEXT, "name", "model"),
        "context_size": _WHOLE,
        "runtime_flags": _LIST,
    }
)
_INCLUDE = SchemaNode(
    "s",
    keys={"path": _TEXT_OR_SET, "env_file": _TEXT_OR_SET, "project_directory": _TEXT},
    extensible=False,
)

ROOT = SchemaNode(
    keys={
        **_each(_TEXT, "name", "version"),
        "include": SchemaNode(items=_INCLUDE),
        "services": SchemaNode(values=_SERVICE, names=_NAME),
        "networks": SchemaNode(values=_NETWORK, names=_NAME, loose=True),
        "volumes": SchemaNode(values=_VOLUME, names=_NAME),
        "secrets": SchemaNode(values=_SECRET, names=_NAME),
        "configs": SchemaNode(values=_CONFIG, names=_NAME),
        "models": SchemaNode(values=_MODEL, names=_NAME),
    }
)

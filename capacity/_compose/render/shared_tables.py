"""How what services share is printed: networks, volumes, configs and secrets, a table each."""

from __future__ import annotations

from capacity._compose.render.go_values import (
    Field,
    boolean,
    each,
    given,
    go_text_of,
    labels,
    listed,
    structure,
    texts_by_name,
)

__all__ = ["FILE_OBJECT", "NETWORK", "VOLUME"]


_POOL = structure(
    {**each(go_text_of, "subnet", "gateway", "ip_range"), "aux_addresses": Field(labels)}
)


NETWORK = structure(
    {
        **each(go_text_of, "name", "driver"),
        **each(boolean, "external", "internal", "attachable"),
        **given(boolean, "enable_ipv4", "enable_ipv6"),
        **each(labels, "driver_opts", "labels"),
        "ipam": Field(
            structure({"driver": Field(go_text_of), "config": Field(listed(_POOL))}), always=True
        ),
    }
)


VOLUME = structure(
    {
        **each(go_text_of, "name", "driver"),
        "external": Field(boolean),
        **each(labels, "driver_opts", "labels"),
    }
)


FILE_OBJECT = structure(
    {
        **each(go_text_of, "name", "file", "environment", "content", "driver", "template_driver"),
        "external": Field(boolean),
        "labels": Field(labels),
        "driver_opts": Field(texts_by_name),
    }
)

"""The short spellings: `127.0.0.1:8080-8081:80-81/tcp`, `./data:/data:ro`, `/dev/a:/dev/b:rw`,
`1m30s`.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from decimal import Decimal

from capacity._compose.render.model import RenderedPort, RenderedVolume
from capacity.errors import ComposeError

__all__ = ["clean", "parse_device", "parse_duration", "parse_ports", "parse_volume"]

_LARGEST_PORT = 65535
_LONGEST = 2**63  # Go counts nanoseconds in a signed 64-bit number
_PROPAGATIONS = {"rprivate", "private", "rshared", "shared", "rslave", "slave"}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w)")
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
    "w": 7 * 86400 * 10**9,
}


def parse_ports(spec: str) -> list[RenderedPort]:
    """A short port as long ones, one for each port of a range.

    Raises:
        ComposeError: no port, or ranges of different lengths.
    """
    rest, *protocols = spec.split("/")
    protocol = ((protocols or [""])[0] or "tcp").lower()
    *address, container = rest.split(":")
    published = address.pop() if address else ""
    host = _address(spec, ":".join(address))
    if protocol not in {"tcp", "udp", "sctp"}:
        raise _bad_port(spec, f"invalid protocol {protocol!r}")
    inside, outside = _range(spec, container), _range(spec, published) if published else None
    if outside is not None and len(inside) != len(outside) and len(inside) != 1:
        raise _bad_port(spec, "ranges of different lengths")
    if 0 in inside:
        raise _bad_port(spec, "0 is no port of a container")
    result = []
    for number, target in enumerate(inside):
        port: RenderedPort = {"mode": "ingress", "target": target, "protocol": protocol}
        if host:
            port["host_ip"] = host
        if outside is not None:
            port["published"] = (
                str(outside[number])
                if len(inside) == len(outside)
                else f"{outside[0]}-{outside[-1]}"
            )
        result.append(port)
    return sorted(result, key=lambda port: str(port["target"]))


def _address(spec: str, text: str) -> str:
    """The address of a port, empty for none."""
    host = text[1:-1] if re.fullmatch(r"\[.*\]", text) else text
    if ":" in host and host == text:
        raise _bad_port(spec, f"the address {host} is not in brackets, such as [::1]:8080:80")
    if host:
        try:
            ipaddress.ip_address(host)
        except ValueError as error:
            raise _bad_port(spec, f"invalid IP address {host!r}") from error
    return host


def _range(spec: str, text: str) -> range:
    first, _, last = text.partition("-")
    if (
        not re.fullmatch(r"[0-9]+(-[0-9]+)?", text)
        or int(last or first) > _LARGEST_PORT
        or int(last or first) < int(first)
    ):
        raise _bad_port(spec, f"invalid port {text!r}")
    return range(int(first), int(last or first) + 1)


def _bad_port(spec: str, cause: str) -> ComposeError:
    return ComposeError(
        f"port {spec!r}: {cause}",
        "Write [IP:][HOST:]CONTAINER[/PROTOCOL], for example 127.0.0.1:8080:80",
    )


def parse_volume(spec: str) -> RenderedVolume:
    """A short volume as a long one, relative sources still relative.

    Raises:
        ComposeError: no volume.
    """
    if len(spec.encode()) in {1, 2}:
        return {"type": "volume", "target": spec}
    parts = _sections(spec)
    if not all(parts) or len(parts) > 3:
        raise ComposeError(
            f"volume {spec!r}: empty section between colons or too many of them",
            "Write SOURCE:TARGET[:OPTIONS]",
        )
    volume: RenderedVolume = {
        "type": "volume",
        "target": parts[-1] if len(parts) == 1 else parts[1],
    }
    if len(parts) > 1:
        volume["source"] = parts[0]
    bind, inner = _options(volume, parts[2] if len(parts) > 2 else "")
    if len(parts) > 1 and _is_path(parts[0]):
        volume |= {"type": "bind", "bind": {**bind, "create_host_path": True}}
        if inner:
            volume["volume"] = inner
    else:
        volume["volume"] = inner
        if bind:
            volume["bind"] = bind
    volume["target"] = clean(volume["target"])
    return volume


def clean(path: str) -> str:
    """A path inside a container in its shortest form, as Go's `path.Clean` writes it."""
    return posixpath.normpath(path).replace("//", "/")


def _sections(spec: str) -> list[str]:
    """What stands between colons; the colon behind a single letter belongs to the drive of a
    Windows path.
    """
    sections = [""]
    for char in spec:
        if char == ":" and not (len(sections[-1]) == 1 and sections[-1].isalpha()):
            sections.append("")
        else:
            sections[-1] += char
    return sections


def _options(
    volume: RenderedVolume, text: str
) -> tuple[dict[str, str | bool], dict[str, str | bool]]:
    """What the options of a short volume say of its bind and of its volume; Compose ignores those
    it does not know.
    """
    bind: dict[str, str | bool] = {}
    inner: dict[str, str | bool] = {}
    for option in text.split(","):
        if option in {"ro", "rw"}:
            volume["read_only"] = option == "ro"
        elif option == "nocopy":
            inner["nocopy"] = True
        elif option in _PROPAGATIONS:
            bind["propagation"] = option
        elif option in {"z", "Z"}:
            bind["selinux"] = option
    return bind, inner


def _is_path(source: str) -> bool:
    return source.startswith((".", "/", "~", "\\\\")) or (
        source[:1].isalpha() and source[1:2] == ":"
    )


def parse_device(spec: str) -> dict[str, str]:
    """`SOURCE[:TARGET[:PERMISSIONS]]` as a mapping.

    Raises:
        ComposeError: more than three parts.
    """
    parts = spec.split(":")
    if len(parts) > 3:
        raise ComposeError(f"device {spec!r}: confusing device mapping", "Use the long syntax")
    target = parts[1] if len(parts) > 1 else ""
    permissions = parts[2] if len(parts) > 2 else "rwm"
    return {"source": parts[0], "target": target or parts[0], "permissions": permissions}


def parse_duration(text: str) -> str:
    """A duration as Go prints it: `90s` becomes `1m30s`.

    Raises:
        ComposeError: no duration.
    """
    digits = text[1:] if text[:1] in {"+", "-"} else text
    matches = list(_DURATION.finditer(digits))
    nanoseconds = int(sum(Decimal(match[1]) * _NANOSECONDS[match[2]] for match in matches))
    read = "".join(match.group() for match in matches)
    if digits != "0" and (not read or read != digits or nanoseconds >= _LONGEST):
        raise ComposeError(f"{text!r} is no duration", "Write for example 1m30s")
    return (
        "0s"
        if nanoseconds == 0
        else ("-" if text.startswith("-") else "") + _go_duration(nanoseconds)
    )


def _go_duration(nanoseconds: int) -> str:
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if nanoseconds < size * 1000:
            return _decimal(Decimal(nanoseconds) / size) + unit
    minutes, rest = divmod(nanoseconds, 60 * 10**9)
    seconds = _decimal(Decimal(rest) / 10**9) + "s"
    if minutes == 0:
        return seconds
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + f"{minutes}m{seconds}"


def _decimal(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text

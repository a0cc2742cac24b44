"""Docker Engines: connect to them and take a snapshot of what runs."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from capacity._common.files import cause_of
from capacity._common.plain_data import PlainMapping
from capacity._common.progress import Progress, Silent
from capacity._docker.addresses import Address, addresses
from capacity._docker.containers import (
    Container,
    Host,
    Inventory,
    as_an_engine,
    read_container,
)
from capacity._docker.host import read_host
from capacity._docker.ssh import tunnel
from capacity.errors import (
    ContainerGone,
    EngineError,
    EngineRefused,
    EngineUnreachable,
    SettingsError,
)
from capacity.settings import EngineSettings

__all__ = ["Engine", "connect", "connect_all", "engine_errors", "engine_time", "inspect"]
__all__ += ["moment", "post", "reading_a_stream", "snapshot", "survey"]

_OLDEST = "1.41"  # Docker 20.10: the first with a statistic that need not be waited for
_GONE = 404
_READS = 10  # an answer as a whole may take so many times what one read of it may
_CONNECTIONS = 64  # kept open; measuring many containers at once takes one each


@dataclass(frozen=True)
class Engine:
    """An open connection; `api` is docker-py's low-level client, `tls` what secures it, for others
    who need the same, `timeout` the seconds that a single read may take.
    """

    host: Host
    api: Any
    in_flight: int = 16
    tls: Any = None
    timeout: float = 60.0


@contextmanager
def engine_errors(host: str, doing: str) -> Iterator[None]:
    """Turn what docker-py raises into our own errors.

    Args:
        host: the Engine's name.
        doing: what was tried, for the message: `update web-1`.
    """
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    try:
        with as_an_engine(f"Engine {host}", f"answers ({doing})"):
            yield
    except APIError as error:
        said = " ".join(str(error.explanation or error).split())
        status = int(error.response.status_code) if error.response is not None else 0
        if status == _GONE:
            raise ContainerGone(
                f"Engine {host}: cannot {doing}: {said}",
                "Take a new snapshot with `capacity inventory`",
            ) from error
        hint = "Correct what it names, then try again"
        raise EngineRefused(
            f"Engine {host} refused to {doing}: {said}", hint, status=status
        ) from error
    except (DockerException, RequestException, HTTPError, OSError) as error:
        cause = " ".join(cause_of(error).split()) or type(error).__name__
        hint = "Is it running, and may you use its socket? `docker info` tells the same"
        raise EngineUnreachable(
            f"Engine {host} does not answer ({doing}): {cause}", hint
        ) from error


@contextmanager
def reading_a_stream(engine: Engine) -> Iterator[None]:
    """For streams that end by themselves: they do within what any answer may take.

    Raises:
        TimeoutError: it did not, for `engine_errors`.
    """
    from capacity._common.bounded_http import ending_within

    with ending_within(_READS * engine.timeout):
        yield


@contextmanager
def connect(name: str, address: Address, settings: EngineSettings) -> Iterator[Engine]:
    """An open connection to one Engine: a unix socket, TCP with or without TLS, or `ssh://` through
    the system's ssh.

    Raises:
        EngineUnreachable: no answer.
        SettingsError: half a TLS key pair, or unreadable files.
    """
    from capacity._docker.bounded_client import BoundedClient

    tls = _tls(settings) if address.url.startswith(("tcp://", "https://")) else None
    if address.url.startswith("ssh://"):
        with tunnel(address.url) as near, connect(name, Address(near), settings) as engine:
            yield replace(engine, host=replace(engine.host, address=address.url))
        return
    with engine_errors(name, f"connect to {address.url}"):
        _knock(address.url, settings.timeout)
        try:
            api = BoundedClient(
                address.url,
                _CONNECTIONS,
                _READS,
                version=_OLDEST,
                timeout=settings.timeout,
                tls=address.tls or tls or False,
            )
        except ValueError as error:
            raise SettingsError(
                f"The address of Engine {name} is none: {error}", "Write it as tcp://host:2376"
            ) from error
    api.trust_env = (
        False  # certificates and proxies meant for others must not come between us and the Engine
    )
    try:
        with engine_errors(name, f"connect to {address.url}"):
            said = api.version(api_version=False)
            api._version = str(said["ApiVersion"])  # noqa: SLF001 - what "auto" does, before trust_env can be set
            info = api.info()
        yield Engine(
            read_host(name, address.url, info, said),
            api,
            settings.in_flight,
            address.tls or tls,
            settings.timeout,
        )
    finally:
        api.close()


def _knock(address: str, timeout: float) -> None:
    """Fail early where nobody listens: docker-py leaves its socket open then."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.settimeout(timeout)
            listener.connect(address.removeprefix("unix://"))


def _tls(settings: EngineSettings) -> Any:
    from docker.errors import TLSParameterError
    from docker.tls import TLSConfig

    pair = (settings.client_cert, settings.client_key)
    if not any((*pair, settings.ca_file)):
        return None
    if (pair[0] is None) != (pair[1] is None):
        raise SettingsError(
            "engine.client_cert and engine.client_key belong together", "Set both or neither"
        )
    missing = [
        str(file)
        for file in (*pair, settings.ca_file)
        if file is not None and not Path(file).is_file()
    ]
    if missing:
        raise SettingsError(f"There is no file {missing[0]}", "Correct the table [engine]")
    try:
        return TLSConfig(
            client_cert=(str(pair[0]), str(pair[1])) if pair[0] else None,
            ca_cert=str(settings.ca_file) if settings.ca_file else None,
            verify=True,
        )
    except TLSParameterError as error:
        raise SettingsError(
            f"The TLS files of [engine] cannot be used: {error}", "Correct the table [engine]"
        ) from error


@contextmanager
def connect_all(settings: EngineSettings) -> Iterator[tuple[dict[str, Engine], dict[str, str]]]:
    """Connections to all Engines of the settings, opened at once; what is unreachable is in the
    second mapping with its reason.

    Raises:
        EngineUnreachable: none of them answers.
        InputError: a docker context that does not exist.
    """
    wanted = addresses(settings)
    engines: dict[str, Engine] = {}
    unreachable: dict[str, str] = {}
    with ExitStack() as stack, ThreadPoolExecutor(max(len(wanted), 1)) as pool:
        opened = {
            name: (connect(name, address, settings), name) for name, address in wanted.items()
        }
        tries = {name: pool.submit(context.__enter__) for name, (context, _) in opened.items()}
        last: EngineError | None = None
        for name, attempt in tries.items():
            try:
                engines[name] = attempt.result()
                stack.push(opened[name][0].__exit__)
            except EngineError as error:
                unreachable[name], last = error.message, error
        if last is not None and not engines:
            raise last
        yield engines, unreachable


def inspect(engine: Engine, container: str, name: str = "") -> Container:
    """A container by id or name, as it is now; `name` is how messages call it.

    Raises:
        ContainerGone: it does not exist any more.
        EngineError: the Engine does not answer.
    """
    with engine_errors(engine.host.name, f"inspect {name or container[:12]}"):
        return read_container(engine.host.name, engine.api.inspect_container(container))


def post(engine: Engine, path: str, container: str, body: PlainMapping) -> None:
    """POST a body to the Engine as it is, for calls that docker-py lacks arguments of.

    Args:
        engine: where.
        path: with `{0}` for the container.
        container: its id.
        body: as the Engine's API wants it.

    Raises:
        docker and requests errors, for `engine_errors`.
    """
    api = engine.api
    response = api._post_json(api._url(path, container), data=dict(body))  # noqa: SLF001 - docker-py has no public call
    api._result(response, True)  # noqa: SLF001 - the same


def engine_time(engine: Engine) -> float:
    """The Engine's own clock, Unix seconds: events carry its time, not ours.

    Raises:
        EngineError: no answer.
    """
    with engine_errors(engine.host.name, "tell its time"):
        said = str(engine.api.info()["SystemTime"])
    return moment(said)


def moment(said: str) -> float:
    """Unix seconds of a time as Engines write it, with nanoseconds."""
    return datetime.fromisoformat(re.sub(r"\.(\d{1,6})\d*", r".\1", said)).timestamp()


def survey(
    engines: Mapping[str, Engine], unreachable: Mapping[str, str], progress: Progress | None = None
) -> Inventory:
    """A snapshot over open connections; containers that vanish meanwhile are left out.

    Raises:
        EngineError: an Engine stops answering.
    """
    progress = progress or Silent()
    named: list[tuple[Engine, str]] = []
    for engine in engines.values():
        with engine_errors(engine.host.name, "list its containers"):
            listed = engine.api.containers(all=True)
            named += [(engine, str(container["Id"])) for container in listed]
    progress.start("containers", len(named))
    try:
        with ThreadPoolExecutor(
            max(sum(engine.in_flight for engine in engines.values()), 1)
        ) as pool:
            found = []
            for container in pool.map(_inspected, named):
                found += [container] if container is not None else []
                progress.advance()
    finally:
        progress.finish()
    hosts = tuple(sorted((engine.host for engine in engines.values()), key=lambda host: host.name))
    return Inventory(
        hosts, tuple(sorted(found, key=lambda item: (item.host, item.name))), dict(unreachable)
    )


def _inspected(place: tuple[Engine, str]) -> Container | None:
    try:
        return inspect(*place)
    except ContainerGone:
        return None


def snapshot(settings: EngineSettings | None = None, progress: Progress | None = None) -> Inventory:
    """What runs on all Engines of the settings.

    Args:
        settings: the Engines; default those of `capacity.toml` and the environment, or docker's
            own.
        progress: told of every container.

    Raises:
        EngineError: no Engine answers, or one stops answering.
    """
    from capacity.settings import load_settings

    with connect_all(settings or load_settings().engine) as (engines, unreachable):
        return survey(engines, unreachable, progress)

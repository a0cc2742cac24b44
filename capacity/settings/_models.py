"""The tables of `capacity.toml`: every setting with its kind, default and meaning."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import (
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from capacity._common.addresses import with_scheme
from capacity._common.units import parse_cpuset
from capacity.errors import InputError
from capacity.model import RestartLimit
from capacity.settings._maintenance_window import parse_maintenance_window

__all__ = [
    "ApplySettings",
    "ArchiveSettings",
    "CollectSettings",
    "ComplianceSettings",
    "DeliverySettings",
    "EngineSettings",
    "ForecastSettings",
    "IdentitySettings",
    "MoneySettings",
    "MonitorSettings",
    "OperationsSettings",
    "PlacementSettings",
    "PrometheusSettings",
    "ReportSettings",
    "ScheduleSettings",
    "ServiceSettings",
    "SizingSettings",
    "TypeSettings",
    "UnattendedSettings",
]

_SECONDS_A_DAY = 86_400
_MOST_MIB, _MOST_CORES = 2**24, 10_000  # of one machine
_LONGEST = 65_536
_SCHEMES = {"unix", "tcp", "http", "https", "ssh"}
_SHORTEST_STEP = 8  # a UTC day at 8 s is 10,800 points: under the server's limit of 11,000


class _Table(BaseModel):
    # the text of a validation error may end in a log, so it must not show what was typed
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _seen_whole(cls, value: Any) -> Any:
        """No path, name or address has a NUL, at which the system's own calls end."""
        for text in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(text, (str, Path)) and ("\0" in str(text) or len(str(text)) > _LONGEST):
                raise ValueError(f"a text with a NUL, or of more than {_LONGEST} characters")
        return value


class PrometheusSettings(_Table):
    """How to reach the metrics server."""

    url: AnyHttpUrl | None = Field(
        None, repr=False, description="Address of Prometheus, VictoriaMetrics, Thanos or Mimir"
    )
    verify: bool = Field(default=True, description="Check the server's TLS certificate")
    ca_file: Path | None = Field(
        None, description="Certificate authority to trust instead of the system's"
    )
    client_cert: Path | None = Field(None, description="Client certificate, PEM")
    client_key: Path | None = Field(None, description="Key of the client certificate, PEM")
    bearer_token: SecretStr | None = Field(None, description="Token sent as Authorization: Bearer")
    bearer_token_file: Path | None = Field(
        None, description="File the token is read from at every request"
    )
    username: str | None = Field(None, description="User for basic authentication")
    password: SecretStr | None = Field(None, description="Password for basic authentication")
    headers: dict[str, SecretStr] = Field(
        {}, description="Headers added to every request, such as X-Scope-OrgID"
    )
    profile: str | None = Field(
        None,
        description="What measures the containers: cadvisor, kubernetes, telegraf, opentelemetry, "
        "opentelemetry-utf8 or podman; default what its metrics say",
    )
    connect_timeout: float = Field(
        5.0, gt=0, le=86_400, description="Seconds to wait for a connection"
    )
    read_timeout: float = Field(180.0, gt=0, le=86_400, description="Seconds to wait for an answer")
    answer_timeout: float = Field(
        900.0, gt=0, le=86_400, description="Seconds that a whole answer may take once it has begun"
    )
    max_in_flight: int = Field(
        2, ge=1, le=8, description="Range queries the server may have to work on at once"
    )
    attempts: int = Field(
        4, ge=1, le=10, description="How often a request is tried when the network or a proxy fails"
    )
    query_budget: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the time a connection may keep the server busy; 0.5 rests as long as "
        "it asked",
    )
    compress: bool = Field(
        default=False, description="Ask for gzip: pays only on links slower than about 90 Mbit/s"
    )
    rate_window: int | None = Field(
        None,
        ge=1,
        le=86_400,
        description="Seconds a rate looks back, at least two scrapes; default the step, at least "
        "four scrapes",
    )

    @field_validator("url", mode="before")
    @classmethod
    def _scheme(cls, url: object) -> object:
        return with_scheme(url) if isinstance(url, str) else url


class IdentitySettings(_Table):
    """Which labels say what service a container belongs to."""

    project: str = Field(
        "container_label_com_docker_compose_project", description="Label with the Compose project"
    )
    service: str = Field(
        "container_label_com_docker_compose_service", description="Label with the Compose service"
    )
    number: str = Field(
        "container_label_com_docker_compose_container_number",
        description="Label with the replica's number",
    )
    oneoff: str = Field(
        "container_label_com_docker_compose_oneoff", description="Label that marks `compose run`"
    )
    name: str = Field(
        "name",
        description="Label with the container's name, used where the Compose labels are missing",
    )
    host: str = Field(
        "instance",
        description="Label with the scraped address; its part before the colon is the host",
    )

    @field_validator("*")
    @classmethod
    def _is_a_label(cls, label: str) -> str:
        if not label or not label.isprintable() or label == "__name__":
            raise ValueError(f"{label!r} is no Prometheus label name")
        return label


class ArchiveSettings(_Table):
    """Where history is kept."""

    path: Path = Field(
        user_data_path("capacity") / "archive", description="Folder of the Parquet archive"
    )


class CollectSettings(_Table):
    """The collector: it measures containers where no metrics server does."""

    host: str = Field(
        "127.0.0.1",
        description="Address to serve the metrics at; any other than the loopback asks for a token",
    )
    port: int = Field(10498, ge=0, le=65535, description="Port to serve them at; 0 serves none")
    token: SecretStr | None = Field(
        None, description="Token that Prometheus sends as Authorization: Bearer"
    )
    interval: int = Field(
        15, ge=1, le=300, description="Seconds between samples; report.step is a multiple of it"
    )


class SizingSettings(_Table):
    """How limits are chosen."""

    risk: float = Field(
        0.02,
        gt=0,
        lt=1,
        description="Accepted chance that next week's peak passes a memory limit: a kill",
    )
    cpu_risk: float = Field(
        0.1, gt=0, lt=1, description="The same for a CPU limit: a slower service"
    )
    headroom: float = Field(
        0.0, ge=0, le=100, description="Share added on top of what the risk asks for"
    )
    tolerance: float = Field(
        0.15,
        ge=0,
        le=100,
        description="Changes smaller than this share of the limit are not proposed",
    )
    cooldown_days: float = Field(
        7.0,
        ge=0,
        le=3_650,
        description="A limit changed less than this many days ago is not lowered",
    )
    largest_step_down: float = Field(
        0.5, gt=0, lt=1, description="Share of a limit that one change takes away at most"
    )
    throttle_target: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Share of throttled periods a CPU limit may have at busy times",
    )
    min_memory_mib: int = Field(
        32,
        ge=6,
        le=_MOST_MIB,
        description="No memory limit below this many MiB; Docker's own minimum is 6",
    )
    min_cores: float = Field(
        0.1, gt=0, le=_MOST_CORES, description="No CPU limit below this many cores"
    )


class TypeSettings(_Table):
    """Defaults for services without history: the table `[types.NAME]`, in order before the built-in
    ones.
    """

    patterns: list[str] = Field(description="Globs of service names, matched in lower case")
    memory_mib: int = Field(1024, ge=6, le=_MOST_MIB, description="Default memory limit, MiB")
    cores: float | None = Field(
        None, gt=0, le=_MOST_CORES, description="Default CPU limit, cores; none without"
    )
    category: Literal["infrastructure", "critical", "standard"] = Field(
        "standard", description="Which cores it belongs on"
    )


class MoneySettings(_Table):
    """What resources cost a month; without prices waste is shown in bytes and cores alone."""

    memory_gib: float | None = Field(
        None, ge=0, le=1e9, description="Price of a GiB of memory a month"
    )
    core: float | None = Field(None, ge=0, le=1e9, description="Price of a core a month")
    currency: str = Field("EUR", description="What it is paid in")


class PlacementSettings(_Table):
    """Which cores the categories of services may use; ranges as Docker's cpuset writes them, such
    as 0-3,8.
    """

    infrastructure: str | None = Field(
        None, description="Cores of databases, caches and monitoring; default a quarter, the first"
    )
    critical: str | None = Field(
        None, description="Cores of gateways and whatever is critical; default the next quarter"
    )
    standard: str | None = Field(None, description="Cores of all others; default the rest")

    @field_validator("infrastructure", "critical", "standard")
    @classmethod
    def _is_a_cpuset(cls, cores: str | None) -> str | None:
        if cores is not None:
            try:
                parse_cpuset(cores)
            except InputError as error:
                raise ValueError(f"{error.message}; write it as 0-3,8") from error
        return cores


class EngineSettings(_Table):
    """Which Docker Engines there are and how to reach them."""

    hosts: dict[str, str] = Field(
        {},
        description="Engines: name = unix://, tcp:// or ssh:// address, or a docker context; "
        "default the current one",
    )
    ca_file: Path | None = Field(
        None, description="Certificate authority of engines behind TLS, PEM"
    )
    client_cert: Path | None = Field(
        None, description="Client certificate for engines behind TLS, PEM"
    )
    client_key: Path | None = Field(None, description="Key of that certificate, PEM")
    timeout: float = Field(
        60.0, gt=0, le=_SECONDS_A_DAY, description="Seconds to wait for an engine's answer"
    )
    in_flight: int = Field(
        16, ge=1, le=64, description="Questions an engine may have to answer at once"
    )

    @field_validator("hosts")
    @classmethod
    def _are_addresses(cls, hosts: dict[str, str]) -> dict[str, str]:
        for name, address in hosts.items():
            scheme, mark, rest = address.partition("://")
            if not address or (mark and (scheme not in _SCHEMES or not rest)):
                raise ValueError(
                    f"the address of {name} is none; write unix://, tcp://, ssh:// or the name of "
                    "a docker context"
                )
            if mark and scheme != "unix" and not _has_port_of_sense(address):
                port = "22" if scheme == "ssh" else "2376 with TLS, or :2375 without"
                raise ValueError(
                    f"the address of {name} has no port that is one; write "
                    f"{scheme}://{_host_of(rest)}:{port}"
                )
        return hosts


def _has_port_of_sense(address: str) -> bool:
    try:
        found = urlsplit(address)
        return bool(
            found.hostname and (found.port or (found.scheme == "ssh" and found.port is None))
        )
    except ValueError:
        return False


def _host_of(rest: str) -> str:
    return rest.partition("/")[0].rpartition(":")[0] or rest.partition("/")[0] or "host"


class ApplySettings(_Table):
    """How plans are applied."""

    journal: Path = Field(
        user_data_path("capacity") / "journal",
        description="Folder of the journal, one folder a run",
    )
    observe: float = Field(
        60.0,
        ge=0,
        le=_SECONDS_A_DAY,
        description="Seconds to watch changed services before a change counts as good",
    )
    cooldown_hours: float = Field(
        72.0,
        ge=0,
        le=87_600,
        description="Hours for which a service is held back after a failed change",
    )
    margin: float = Field(
        0.1,
        ge=0,
        le=100,
        description="Share by which a lowered memory limit must stay above present and recent use",
    )
    recreate: bool = Field(
        default=True, description="Replace containers for what the Engine cannot change live"
    )
    windows: list[str] = Field(
        [],
        description="When plans may be applied, UTC, such as Mon-Fri 22:00-04:00; default always",
    )
    most_per_hour: int | None = Field(
        None, ge=1, le=1_000_000, description="Services that may be changed in an hour"
    )
    projects: dict[str, Path] = Field(
        {}, description="Where the compose file of a project lies on this machine: project = file"
    )
    live_only: bool = Field(
        default=False,
        description="Change containers although their compose file is not on this machine",
    )

    @field_validator("windows")
    @classmethod
    def _can_be_read(cls, windows: list[str]) -> list[str]:
        for window in windows:
            parse_maintenance_window(window)
        return windows


class UnattendedSettings(_Table):
    """Which changes a scheduled run may apply by itself; everything else waits for a person."""

    enabled: bool = Field(
        default=False, description="Whether `capacity apply --unattended` may change anything"
    )
    actions: list[Literal["raise", "set", "lower"]] = Field(
        ["raise"], description="Kinds of change"
    )
    reasons: list[str] = Field(
        ["breach-expected", "oom-killed", "throttled"], description="Reason codes"
    )
    largest: float = Field(
        0.5, gt=0, le=1_000, description="Largest change, as a share of the limit in force"
    )
    confidence: float = Field(
        0.8, ge=0, le=1, description="Least confidence in the evidence of a change"
    )
    services: list[str] = Field(["*"], description="Globs of services")


class ComplianceSettings(_Table):
    """Which rules are kept, and how alert delivery is proved."""

    rules: list[str] = Field(
        ["house"],
        description="Rule books, Markdown files; `house` is the one that comes with capacity",
    )
    waivers: Path | None = Field(None, description="File with the waivers")
    record: Path = Field(
        user_data_path("capacity") / "compliance.jsonl",
        description="File that keeps the scores of past weeks",
    )
    alertmanager: AnyHttpUrl | None = Field(None, repr=False, description="Address of Alertmanager")
    receiver: str = Field(
        "",
        description="host:port where a probe alert is awaited, such as 127.0.0.1:10498; default "
        "none is sent",
    )
    wait: float = Field(
        60.0,
        gt=0,
        le=600,
        description="Seconds a probe alert may take; the group_wait of its route is part of it",
    )


class MonitorSettings(_Table):
    """The compliance monitor."""

    host: str = Field(
        "127.0.0.1",
        description="Address to listen at; any other than the loopback asks for a token or a "
        "password",
    )
    names: list[str] = Field(
        [],
        description="Names that it is asked under beside the loopback's and `host`, where it asks "
        "for no credentials",
    )
    port: int = Field(10499, ge=1, le=65535, description="Port to listen at")
    interval: float = Field(
        60.0,
        ge=1,
        le=86_400,
        description="Seconds between evaluations; events of the engines ask for more",
    )
    token: SecretStr | None = Field(
        None, description="Token that clients send as Authorization: Bearer"
    )
    token_file: Path | None = Field(
        None, description="File with such a token, read at the start; beside `token` both count"
    )
    username: str | None = Field(
        None, description="User for basic authentication, beside the token"
    )
    password: SecretStr | None = Field(None, description="Password for basic authentication")
    webhook: SecretStr | None = Field(
        None,
        validate_default=True,
        description="Where changes of state are posted in Alertmanager's format; default the "
        "variable ALERT_WEBHOOK",
    )
    external_url: str = Field(
        "", description="Address under which people reach the monitor, for links"
    )
    most_in_flight: int = Field(
        64,
        ge=1,
        le=10_000,
        description="Requests that may be worked on at once; the others are told to come back",
    )
    probe: bool = Field(
        default=True,
        description="Prove alert delivery, where an Alertmanager is named whose route leads here",
    )
    probe_interval: float = Field(
        900.0, ge=10, le=_SECONDS_A_DAY * 7, description="Seconds between probe alerts"
    )

    @field_validator("webhook", mode="before")
    @classmethod
    def _from_the_environment(cls, webhook: Any) -> Any:
        return webhook if webhook is not None else os.environ.get("ALERT_WEBHOOK") or None


class OperationsSettings(_Table):
    """Restart loops and emergencies."""

    critical: list[str] = Field(
        [],
        description="Services, project/service, that must run: `capacity emergency restart` starts "
        "them in this order",
    )
    window_minutes: float = Field(
        10.0, gt=0, le=1440, description="Minutes in which restarts are counted"
    )
    more_than: int = Field(
        3, ge=0, le=1_000_000, description="Restarts within these minutes that are no loop yet"
    )
    loop_a_day: int = Field(
        12, ge=1, le=1_000_000, description="Restarts in a day that are a loop, however they lie"
    )

    @property
    def restart_limit(self) -> RestartLimit:
        """What a restart loop is, for everything that speaks of one."""
        return RestartLimit(self.more_than, self.window_minutes, self.loop_a_day)

    causes: Path | None = Field(
        None,
        description="File with patterns of causes, as data/restart_causes.yaml; default that one",
    )
    timeline: Path = Field(
        Path("timeline.yaml"), description="File that keeps the remediation timeline"
    )


class ReportSettings(_Table):
    """What the weekly report looks at."""

    window_days: int = Field(28, ge=7, le=400, description="Days of history the report looks at")
    horizon_days: int = Field(7, ge=1, le=28, description="Days ahead it forecasts")
    step: int = Field(300, description="Seconds between samples; divides a day, at least 8")
    timeout: float = Field(
        1800.0, gt=0, le=_SECONDS_A_DAY, description="Seconds a whole report run may take"
    )
    runbooks: str | None = Field(
        None,
        pattern=r"^https?://\S*\{code\}\S*$",
        description="Address of your runbooks with {code} in it, for alerts and findings; default "
        "those of the project",
    )

    @field_validator("step")
    @classmethod
    def _divides_a_day(cls, step: int) -> int:
        if step < _SHORTEST_STEP or _SECONDS_A_DAY % step:
            raise ValueError(
                f"{step} does not divide a day of 86400 seconds, or is under {_SHORTEST_STEP}"
            )
        return step


class DeliverySettings(_Table):
    """Where finished reports are sent; each way that is named is taken."""

    mail_to: list[str] = Field([], description="Addresses that get the report by mail")
    mail_from: str = Field(
        "capacity@localhost", max_length=254, description="Sender of these mails"
    )
    smtp: str = Field(
        "localhost:25", pattern=r"^\S+:[0-9]{1,5}$", description="Mail server and port"
    )
    smtp_security: Literal["none", "starttls", "tls"] = Field(
        "starttls", description="How the connection to it is protected"
    )
    smtp_user: str | None = Field(None, description="Name to log in with")
    smtp_password: SecretStr | None = Field(None, description="Its password")
    webhooks: list[SecretStr] = Field([], description="Addresses that get plain JSON by POST")
    apprise: list[SecretStr] = Field(
        [], description="Addresses in the form of apprise: slack://, msteams://, mmosts:// ..."
    )
    folder: str | None = Field(
        None, description="Folder, or object store such as s3://reports, that gets the page"
    )
    base_url: str = Field(
        "", pattern=r"^(https?://\S+)?$", description="Where the folder of reports is served"
    )

    @field_validator("mail_to", "mail_from")
    @classmethod
    def _one_line(cls, said: list[str] | str) -> list[str] | str:
        for address in [said] if isinstance(said, str) else said:
            if not re.fullmatch(r"[^\s,@]+@[^\s,@]+", address):
                raise ValueError("a mail address has the form name@host")
        return said


class ScheduleSettings(_Table):
    """When fetch and reports run by themselves; an empty time switches a job off."""

    zone: str = Field("UTC", max_length=64, description="Time zone of these times: Europe/Berlin")
    fetch: str = Field("daily 02:30", max_length=40, description="When history is fetched")
    weekly: str = Field("Mon 06:00", max_length=40, description="When the resource report runs")
    compliance: str = Field(
        "Mon 06:15",
        max_length=40,
        description="When the compliance report runs; needs `compose`",
    )
    monthly: str = Field("1 07:00", max_length=40, description="When the monthly review runs")
    quarterly: str = Field(
        "quarterly 1 07:30", max_length=40, description="When the quarterly review runs"
    )
    compose: list[Path] = Field([], description="Compose files or folders that compliance judges")
    reports: Path = Field(Path("reports"), description="Folder of the reports")
    state: Path = Field(
        user_data_path("capacity") / "schedule", description="Folder of what became of each job"
    )
    textfile: Path | None = Field(
        None, description="File of metrics of the jobs, for node_exporter's textfile collector"
    )


Moments = tuple[datetime, datetime]


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


class ForecastSettings(_Table):
    """What people know of the calendar."""

    holidays: list[Moments] = Field(
        [], description="Pairs of first and last moment of days unlike others, past and coming"
    )

    @field_validator("holidays")
    @classmethod
    def _in_order(cls, spans: list[Moments]) -> list[Moments]:
        return _ordered(spans)


class ServiceSettings(_Table):
    """What people know of the services that fit a glob: the table `[services."shop/*"]`."""

    ignore: list[Moments] = Field(
        [], description="Pairs of first and last moment that teach nothing: incidents, load tests"
    )
    change_points: list[datetime] = Field(
        [], description="Moments after which older history counts no more: deploys, moves"
    )
    exclude: bool = Field(default=False, description="Make no forecast and no proposal")
    owner: str = Field("", max_length=200, description="Team or person that decides for them")
    risk_class: Literal["critical", "standard", "batch"] = Field(
        "standard",
        description="Risk it may run: a quarter of the risk set under sizing, that risk, four "
        "times as much",
    )
    min_memory_mib: int | None = Field(
        None, ge=6, le=_MOST_MIB, description="No memory limit below"
    )
    max_memory_mib: int | None = Field(
        None, ge=6, le=_MOST_MIB, description="No memory limit above"
    )
    min_cores: float | None = Field(None, gt=0, le=_MOST_CORES, description="No CPU limit below")
    max_cores: float | None = Field(None, gt=0, le=_MOST_CORES, description="No CPU limit above")
    never_lower: bool = Field(default=False, description="Raise its limits only")
    pinned: bool = Field(default=False, description="Leave its limits and its cores as they are")
    business_hours: tuple[int, int] | None = Field(
        None,
        description="First hour and the hour after the last, Monday to Friday, UTC: CPU is sized "
        "for these alone",
    )

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        for least, most, what in (
            (self.min_memory_mib, self.max_memory_mib, "memory_mib"),
            (self.min_cores, self.max_cores, "cores"),
        ):
            if least is not None and most is not None and least > most:
                raise ValueError(f"min_{what} {least} is above max_{what} {most}")
        if (
            self.business_hours is not None
            and not 0 <= self.business_hours[0] < self.business_hours[1] <= 24
        ):
            raise ValueError(
                f"business_hours {list(self.business_hours)} are no hours of one day; write them "
                "as [8, 18]"
            )
        return self

    @field_validator("ignore")
    @classmethod
    def _in_order(cls, spans: list[Moments]) -> list[Moments]:
        return _ordered(spans)

    @field_validator("change_points")
    @classmethod
    def _with_zone(cls, moments: list[datetime]) -> list[datetime]:
        return [_utc(moment) for moment in moments]


def _ordered(spans: list[Moments]) -> list[Moments]:
    """Spans in UTC; a moment without a zone is UTC."""
    for first, last in spans:
        if _utc(first) >= _utc(last):
            raise ValueError(f"{first} is not before {last}")
    return [(_utc(first), _utc(last)) for first, last in spans]

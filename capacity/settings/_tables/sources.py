"""Tables of where history comes from: the server, its labels, the archive, the collector."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_data_path
from pydantic import (
    AnyHttpUrl,
    Field,
    SecretStr,
    field_validator,
)

from capacity._common.text.addresses import with_scheme
from capacity.settings._tables.base import Table

__all__ = [
    "ArchiveSettings",
    "CollectSettings",
    "IdentitySettings",
    "PrometheusSettings",
    "SourceSettings",
]


_SHORTEST_STEP = 8  # a UTC day at 8 s is 10,800 points: under the server's limit of 11,000


class PrometheusSettings(Table):
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
        2,
        ge=1,
        le=8,
        description="Range queries the server may have to work on at once; fewer while it is slow "
        "or overloaded",
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


class SourceSettings(PrometheusSettings):
    """One of several metrics servers; what it leaves out is as `[prometheus]` says."""

    host: str | None = Field(
        None,
        min_length=1,
        description="Name of the only host that it scrapes, where its addresses do not tell",
    )


class IdentitySettings(Table):
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


class ArchiveSettings(Table):
    """Where history is kept."""

    path: Path = Field(
        user_data_path("capacity") / "archive", description="Folder of the Parquet archive"
    )


class CollectSettings(Table):
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

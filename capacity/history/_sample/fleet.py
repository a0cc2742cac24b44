"""The services of the sample fleet: one overloaded Docker host, as a table, and its compose files
made from it.

It holds on purpose what a real host shows: an LLM server at 185 % CPU without limits, three copies
of one agent image, 34 services without a memory limit, several that want host port 8080, a restart
loop, a slow leak, a step after a deploy, a nightly burst.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FLEET", "HOST", "HOST_CORES", "HOST_MEMORY", "SampleService", "compose_files"]

HOST = "dock1"
HOST_CORES = 12
HOST_MEMORY = 48 * 1024**3

UsageShape = Literal[
    "steady",
    "daily",
    "office",
    "evening",
    "nightly",
    "idle",
    "llm",
    "leak",
    "step",
    "capped",
    "loop",
    "late",
    "new",
    "gone",
]


@dataclass(frozen=True)
class SampleService:
    """One service: what it is, how it behaves, what its compose file says.

    Attributes:
        project: Compose project.
        name: Compose service.
        image: with tag.
        shape: how usage moves through day and week.
        cpu: typical cores at the busy time.
        memory: typical MiB.
        cpu_limit: cores; None = no limit.
        memory_limit: MiB; None = no limit.
        ports: as in the compose file.
        health: command of the health check.
        priority: value of the label `priority`.
    """

    project: str
    name: str
    image: str
    shape: UsageShape
    cpu: float
    memory: float
    cpu_limit: float | None = None
    memory_limit: int | None = None
    ports: tuple[str, ...] = ()
    health: str = ""
    priority: str = ""

    @property
    def key(self) -> str:
        """`project/service`."""
        return f"{self.project}/{self.name}"


_S = SampleService
_AGENT = "claude:latest"

FLEET: tuple[SampleService, ...] = (
    # agents and their model server
    _S(
        "ai",
        "ollama",
        "ollama/ollama:latest",
        "llm",
        1.85,
        5200,
        ports=("11434:11434",),
        health="curl -f http://localhost:11434/api/tags",
    ),
    _S("ai", "claude-1", _AGENT, "office", 0.22, 815),
    _S("ai", "claude-2", _AGENT, "office", 0.18, 798),
    _S("ai", "claude-3", _AGENT, "office", 0.20, 806),
    _S("ai", "ai-system-architect", "agents/architect:1.4", "office", 0.35, 640),
    _S("ai", "orchestration-agent", "agents/orchestration:1.4", "office", 0.30, 520),
    _S("ai", "code-review-agent", "agents/review:1.4", "office", 0.25, 610),
    _S("ai", "docs-agent", "agents/docs:1.4", "office", 0.08, 380, priority="low"),
    _S("ai", "triage-agent", "agents/triage:1.4", "daily", 0.12, 410),
    _S("ai", "embedding", "agents/embedding:0.9", "office", 0.60, 1450),
    _S("ai", "qdrant", "qdrant/qdrant:v1.11", "daily", 0.15, 1320, ports=("6333:6333",)),
    _S("ai", "agent-console", "agents/console", "office", 0.05, 210, ports=("8080:8501",)),
    # a shop
    _S("shop", "frontend", "shop/frontend:5.2", "evening", 0.30, 260, ports=("8080:3000",)),
    _S(
        "shop",
        "backend-api",
        "shop/api:5.2",
        "evening",
        0.80,
        720,
        ports=("8080:8000",),
        health="curl -f http://localhost:8000/health",
    ),
    _S(
        "shop",
        "checkout",
        "shop/checkout:5.3",
        "step",
        0.35,
        410,
        1.0,
        1024,
        health="curl -f http://localhost:8000/health",
    ),
    _S("shop", "cart", "shop/cart:5.2", "evening", 0.18, 240, None, 512),
    _S("shop", "catalog", "shop/catalog:5.2", "leak", 0.25, 620, 1.0, 1536),
    _S(
        "shop",
        "search",
        "opensearchproject/opensearch:2.17",
        "evening",
        0.75,
        2650,
        0.8,
        4096,
        ports=("9200:9200",),
    ),
    _S("shop", "thumbnailer", "shop/thumbnailer:2.0", "capped", 0.30, 256, 0.5, 256),
    _S("shop", "recommender", "shop/recommender:1.1", "evening", 0.45, 1180),
    _S("shop", "worker", "shop/worker:5.2", "daily", 0.28, 330),
    _S("shop", "mailer", "shop/mailer:5.2", "daily", 0.04, 120),
    _S(
        "shop",
        "postgres",
        "postgres:16",
        "evening",
        0.55,
        2300,
        4.0,
        12288,
        ports=("5432:5432",),
        health="pg_isready",
    ),
    _S("shop", "redis", "redis:7", "evening", 0.10, 480, None, 4096, health="redis-cli ping"),
    _S("shop", "feature-flags", "shop/flags:0.3", "late", 0.06, 150),
    _S("shop", "ab-testing", "shop/ab:0.1", "new", 0.10, 190),
    # data jobs
    _S("data", "etl-nightly", "data/etl:3.1", "nightly", 2.40, 3100),
    _S("data", "airflow", "apache/airflow:2.9.3", "daily", 0.22, 980, ports=("8080:8080",)),
    _S("data", "warehouse", "postgres:16", "nightly", 0.90, 2100, None, 16384, health="pg_isready"),
    _S("data", "kafka", "bitnami/kafka:3.7", "daily", 0.40, 1720),
    _S("data", "metabase", "metabase/metabase:latest", "office", 0.20, 1150, ports=("3000:3000",)),
    _S("data", "legacy-reports", "data/reports", "idle", 0.002, 95, priority="low"),
    _S("data", "exporter-old", "data/exporter:0.8", "gone", 0.05, 140),
    # what all others lean on
    _S(
        "platform",
        "kong",
        "kong:3.7",
        "evening",
        0.35,
        560,
        ports=("80:8080", "443:8443"),
        health="kong health",
    ),
    _S("platform", "consul", "hashicorp/consul:1.19", "steady", 0.06, 180, ports=("8500:8500",)),
    _S("platform", "rabbitmq", "rabbitmq:3.13", "daily", 0.15, 420, None, 8192),
    _S("platform", "vault", "hashicorp/vault:1.17", "steady", 0.03, 240),
    _S("platform", "registry", "registry:2", "office", 0.04, 130),
    _S("platform", "ci-runner", "platform/runner:17", "office", 1.10, 1550, priority="low"),
    _S("platform", "webhook-relay", "platform/relay:0.2", "loop", 0.15, 170),
    # monitoring
    _S(
        "observability",
        "prometheus",
        "prom/prometheus:v2.54.1",
        "steady",
        0.28,
        1480,
        None,
        3072,
        ports=("9090:9090",),
    ),
    _S(
        "observability",
        "grafana",
        "grafana/grafana:11.2.0",
        "office",
        0.08,
        260,
        ports=("3001:3000",),
    ),
    _S("observability", "loki", "grafana/loki:3.1.1", "daily", 0.20, 880),
    _S(
        "observability",
        "cadvisor",
        "cadvisor:v0.49.1",
        "steady",
        0.16,
        190,
        None,
        256,
        ports=("8080:8080",),
    ),
    _S("observability", "alertmanager", "prom/alertmanager:v0.27.0", "steady", 0.01, 60),
)


def compose_files() -> dict[str, str]:
    """Text of each project's compose file, by project."""
    projects = sorted({service.project for service in FLEET})
    return {project: _compose(project) for project in projects}


def _compose(project: str) -> str:
    lines = [
        f"# Sample fleet: the project `{project}` of host {HOST}.",
        f"name: {project}",
        "",
        "services:",
    ]
    for service in FLEET:
        if service.project == project:
            lines += [*_service(service), ""]
    return "\n".join(lines[:-1]) + "\n"


def _service(service: SampleService) -> list[str]:
    lines = [f"  {service.name}:", f"    image: {service.image}", "    restart: unless-stopped"]
    if service.ports:
        lines += ["    ports:", *(f'      - "{port}"' for port in service.ports)]
    if service.priority:
        lines += ["    labels:", f"      priority: {service.priority}"]
    if service.health:
        lines += [
            "    healthcheck:",
            f'      test: ["CMD-SHELL", "{service.health}"]',
            "      interval: 30s",
            "      retries: 3",
        ]
    if service.cpu_limit or service.memory_limit:
        lines += ["    deploy:", "      resources:", "        limits:"]
        lines += [f'          cpus: "{service.cpu_limit:g}"'] if service.cpu_limit else []
        lines += [f"          memory: {service.memory_limit}m"] if service.memory_limit else []
    return lines

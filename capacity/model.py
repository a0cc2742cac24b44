"""The nouns that every layer shares: plain enums and frozen dataclasses, no I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "Action",
    "Change",
    "Limits",
    "Reason",
    "Resource",
    "RestartLimit",
    "ServiceKey",
    "Setting",
    "Signal",
    "StepState",
    "Value",
]


class Signal(StrEnum):
    """What is measured; `capacity.history._metrics.signals` says how, in which unit and of what."""

    CPU = "cpu"
    MEMORY = "memory"
    MEMORY_RSS = "memory_rss"
    MEMORY_CACHE = "memory_cache"
    MEMORY_SWAP = "memory_swap"
    CPU_LIMIT = "cpu_limit"
    MEMORY_LIMIT = "memory_limit"
    THROTTLED = "throttled"
    CPU_WAITING = "cpu_waiting"
    MEMORY_WAITING = "memory_waiting"
    MEMORY_STALLED = "memory_stalled"
    OOM_KILLS = "oom_kills"
    RESTARTS = "restarts"
    HOST_CPU = "host_cpu"
    HOST_CORES = "host_cores"
    HOST_MEMORY = "host_memory"
    HOST_MEMORY_TOTAL = "host_memory_total"
    CORE_BUSY = "core_busy"
    UP = "up"


class Resource(StrEnum):
    """What a limit is set on: CPU in cores, memory in bytes."""

    CPU = "cpu"
    MEMORY = "memory"

    @property
    def usage(self) -> Signal:
        """The signal that measures use of this resource."""
        return Signal(self.value)

    @property
    def limit(self) -> Signal:
        """The signal that measures the limit in force."""
        return Signal(f"{self.value}_limit")


@dataclass(frozen=True, order=True)
class ServiceKey:
    """A service of a Compose project; a container outside Compose has the project `standalone`."""

    project: str
    service: str

    STANDALONE = "standalone"

    def __str__(self) -> str:
        return f"{self.project}/{self.service}"

    @classmethod
    def parse(cls, text: str) -> ServiceKey:
        """Read `project/service`; only the first slash separates."""
        project, slash, service = text.partition("/")
        return cls(project, service) if slash else cls(cls.STANDALONE, text)


@dataclass(frozen=True)
class RestartLimit:
    """What a restart loop is: more than so many restarts within so many minutes, or so many in a
    day, however they lie.
    """

    more_than: int = 3
    minutes: float = 10.0
    a_day: int = 12

    def is_loop(self, day: float, worst_hour: float) -> bool | None:
        """Whether a day's restarts are a loop; None where counts by the hour cannot tell.

        Args:
            day: restarts in the day.
            worst_hour: the most of them in one hour.
        """
        if day >= self.a_day or worst_hour > self.more_than * max(60 / self.minutes, 1):
            return True
        return None if worst_hour > self.more_than else False

    def at_least(self, restarts: float) -> int:
        """How many of an hour's restarts lie within so many minutes at least."""
        return math.ceil(restarts * min(self.minutes / 60, 1))


@dataclass(frozen=True)
class Limits:
    """Limits of one container: CPU in cores, memory in bytes; None is unlimited."""

    cpu: float | None = None
    memory: float | None = None


class Action(StrEnum):
    """What a recommendation does to the limit in force."""

    SET = "set"
    RAISE = "raise"
    LOWER = "lower"
    KEEP = "keep"
    NONE = "none"


class Reason(StrEnum):
    """Why a limit should change, or why not: a closed list."""

    UNLIMITED = "unlimited"
    BREACH_EXPECTED = "breach-expected"
    OOM_KILLED = "oom-killed"
    THROTTLED = "throttled"
    MEMORY_STALLED = "memory-stalled"
    OVERSIZED = "oversized"
    WITHIN_TOLERANCE = "within-tolerance"
    CENSORED = "censored"
    HOST_CEILING = "host-ceiling"
    LIMIT_UNKNOWN = "limit-unknown"
    UNSTABLE = "unstable"
    NOT_ENOUGH_HISTORY = "not-enough-history"
    NO_DATA = "no-data"
    STOPPED = "stopped"
    EXCLUDED = "excluded"
    LEAK = "leak"
    REGIME_CHANGE = "regime-change"
    COOLDOWN = "cooldown"
    STARTUP_PEAK = "startup-peak"
    CALENDAR_PEAK = "calendar-peak"
    PAST_PEAK = "past-peak"
    PAGE_CACHE = "page-cache"
    TYPE_DEFAULT = "type-default"
    PINNED = "pinned"
    NEVER_LOWER = "never-lower"
    OWN_BOUNDS = "own-bounds"
    BUDGET = "budget"
    PORT_CONFLICT = "port-conflict"
    CORE_BALANCE = "core-balance"
    REQUESTED = "requested"

    @property
    def text(self) -> str:
        """One sentence for people."""
        return _REASON_TEXTS[self]


_REASON_TEXTS = {
    Reason.UNLIMITED: "No limit is set, so this service can starve its host.",
    Reason.BREACH_EXPECTED: "The chance that next week's peak reaches the limit is above the "
    "accepted risk.",
    Reason.OOM_KILLED: "The kernel killed it for memory under the present limit.",
    Reason.THROTTLED: "It was held back by its CPU limit for a notable share of the time.",
    Reason.MEMORY_STALLED: "All its tasks wait for memory for a notable share of the time, which "
    "comes before a kill.",
    Reason.OVERSIZED: "The limit is far above anything that past or forecast asks for.",
    Reason.WITHIN_TOLERANCE: "The limit fits: the chance to pass it is near what is accepted, or a "
    "change would be smaller than the tolerance.",
    Reason.CENSORED: "Usage touched the limit, so the true need is not visible and the limit is "
    "not lowered.",
    Reason.HOST_CEILING: "The need is more than the host has; the limit stops at the host's size.",
    Reason.LIMIT_UNKNOWN: "The source does not say what limit is in force; this is what the usage "
    "asks for.",
    Reason.UNSTABLE: "It restarts again and again; its usage is not that of a running service.",
    Reason.NOT_ENOUGH_HISTORY: "Too few samples to say anything.",
    Reason.NO_DATA: "No sample of this signal in the window.",
    Reason.STOPPED: "It was not running at the end of the window.",
    Reason.EXCLUDED: "The settings leave it out.",
    Reason.LEAK: "Its memory grows without end: a higher limit only delays the kill, so the raise "
    "is small; look for the leak.",
    Reason.REGIME_CHANGE: "Its level moved for good in the last days; the limit is not lowered "
    "before a week of the new level.",
    Reason.COOLDOWN: "Its limit was changed a short while ago; it is lowered one step at a time.",
    Reason.STARTUP_PEAK: "It needs more while it starts than when it runs; the limit must let it "
    "start.",
    Reason.CALENDAR_PEAK: "A peak that returns by the calendar is due; the limit must hold it.",
    Reason.PAST_PEAK: "A peak from before the window was higher than the window's, so the limit is "
    "not lowered below it.",
    Reason.PAGE_CACHE: "Page cache fills whatever limit it has; what the kernel cannot reclaim "
    "fits, so more memory would only cache more.",
    Reason.TYPE_DEFAULT: "There is too little history to size it; this is the default for its "
    "type.",
    Reason.PINNED: "The settings pin its limits.",
    Reason.NEVER_LOWER: "A lower limit would do, but the settings forbid to lower this one.",
    Reason.OWN_BOUNDS: "The limit in force is outside the bounds that the settings give this "
    "service.",
    Reason.PORT_CONFLICT: "Two services want one port of the host, or a port that is not theirs.",
    Reason.CORE_BALANCE: "Other cores would spread the load more evenly.",
    Reason.BUDGET: "The limits of all services together must fit the budget.",
    Reason.REQUESTED: "A person asked for it.",
}


class Setting(StrEnum):
    """What of a service a change sets; the Engine changes some of it live, the rest takes a new
    container.
    """

    MEMORY = "memory"
    MEMORY_SWAP = "memory-swap"
    CPUS = "cpus"
    CPUSET = "cpuset"
    RESERVATION = "reservation"
    CPU_RESERVATION = "cpu-reservation"
    PIDS = "pids"
    ULIMITS = "ulimits"
    REPLICAS = "replicas"
    RESTART_POLICY = "restart-policy"
    HOST_PORT = "host-port"
    ENVIRONMENT = "environment"
    HEALTH_CHECK = "health-check"
    DEPENDS_ON = "depends-on"

    @classmethod
    def of(cls, thing: Resource | Setting) -> Setting:
        """The setting that limits a resource; a setting stands for itself."""
        return cls.CPUS if thing is Resource.CPU else cls(thing.value)

    @property
    def resource(self) -> Resource | None:
        """The resource that this limits, None for all else."""
        return {Setting.CPUS: Resource.CPU, Setting.MEMORY: Resource.MEMORY}.get(self)


Value = float | str | dict[str, object] | None
"""Bytes, cores, a count or a port; text; or a mapping for environment, health check, dependencies.
None is unlimited, unset.
"""


@dataclass(frozen=True)
class Change:
    """One proposed limit change; sizing, compliance and operations return these, `changes` carries
    them out.

    Attributes:
        service: `project/service`.
        resource: what is limited, or what else is set.
        before: limit in force, cores or bytes; None is unlimited or not set.
        after: limit proposed, cores or bytes; text or a mapping for what is no number.
        reason: why.
        evidence: numbers that support it, in the units of the resource.
    """

    service: str
    resource: Resource | Setting
    before: Value
    after: Value
    reason: Reason
    evidence: dict[str, float] = field(default_factory=dict)


class StepState(StrEnum):
    """How a step ended, or what a dry run says it would do."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    UNDONE = "undone"
    STOPPED = "stopped"
    STARTED = "started"
    FLUSHED = "flushed"
    BACK = "back"
    NOT_BACK = "not-back"
    SKIPPED = "skipped"
    UNREACHABLE = "unreachable"
    STAYS = "stays"
    CREATED = "created"
    REPLACED = "replaced"
    REMOVED = "removed"
    WOULD_STOP = "would-stop"
    WOULD_START = "would-start"
    WOULD_FLUSH = "would-flush"
    WOULD_GO_BACK = "would-go-back"
    WOULD_GIVE_UP = "would-give-up"
    WOULD_CREATE = "would-create"
    WOULD_REPLACE = "would-replace"
    WOULD_REMOVE = "would-remove"
    WOULD_TAKE_BACK = "would-take-back"
    WOULD_FINISH = "would-finish"
    WOULD_APPLY = "would-apply"

"""Settings from `capacity.toml` and the environment, validated.

The file is `capacity.toml` in the working directory unless another is named. A variable
`CAPACITY_PROMETHEUS__URL` overrides `url` in the table `[prometheus]`.
Unknown names are errors: a misspelt setting must not be ignored in silence.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as EnvironmentSettingsError

from capacity._common.files import read_bounded
from capacity.errors import SettingsError
from capacity.settings._endless_names import refuse_endless_names
from capacity.settings._tables import (
    ApplySettings,
    ArchiveSettings,
    CollectSettings,
    ComplianceSettings,
    ComputeSettings,
    DeliverySettings,
    EngineSettings,
    ForecastSettings,
    IdentitySettings,
    MoneySettings,
    MonitorSettings,
    OperationsSettings,
    OwnerSettings,
    PlacementSettings,
    PrometheusSettings,
    ReportSettings,
    ScheduleSettings,
    ServiceSettings,
    SizingSettings,
    SourceSettings,
    TypeSettings,
    UnattendedSettings,
)

__all__ = ["COLLECTED", "DEFAULT_FILE", "Settings", "exposed_secrets", "load_settings", "override"]

DEFAULT_FILE = Path("capacity.toml")
_PREFIX = "CAPACITY_"
_MOST_BYTES = 2**20
_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,99}")
COLLECTED = "collected"
"""Name in the archive of what this machine collects by itself."""
_TAKEN = {COLLECTED, "import", "sample"}
_log = logging.getLogger("capacity")


class Settings(BaseSettings):
    """Everything that can be set, in the tables of `capacity.toml`."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,
    )

    prometheus: PrometheusSettings = PrometheusSettings()
    sources: dict[str, SourceSettings] = Field(
        {},
        description="Several metrics servers: name in the archive = a table with the keys of "
        "`prometheus`, whose own values are the defaults",
    )
    identity: IdentitySettings = IdentitySettings()
    archive: ArchiveSettings = ArchiveSettings()
    collect: CollectSettings = CollectSettings()
    sizing: SizingSettings = SizingSettings()
    monitor: MonitorSettings = MonitorSettings()
    report: ReportSettings = ReportSettings()
    forecast: ForecastSettings = ForecastSettings()
    compute: ComputeSettings = ComputeSettings()
    types: dict[str, TypeSettings] = Field({}, description="Types of services: name = a table")
    money: MoneySettings = MoneySettings()
    placement: PlacementSettings = PlacementSettings()
    services: dict[str, ServiceSettings] = Field(
        {}, description="What is known of single services: glob = a table"
    )
    owners: OwnerSettings = OwnerSettings()
    engine: EngineSettings = EngineSettings()
    apply: ApplySettings = ApplySettings()
    unattended: UnattendedSettings = UnattendedSettings()
    compliance: ComplianceSettings = ComplianceSettings()
    operations: OperationsSettings = OperationsSettings()
    delivery: DeliverySettings = DeliverySettings()
    schedule: ScheduleSettings = ScheduleSettings()
    metrics: dict[str, str] = Field(
        {}, description="Other names of metrics: the usual name = the name here"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment override the file: secrets and addresses belong to the place of
        deployment.
        """
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    @field_validator("sources")
    @classmethod
    def _are_folder_names(cls, sources: dict[str, SourceSettings]) -> dict[str, SourceSettings]:
        for name, source in sources.items():
            if not _SOURCE.fullmatch(name) or name in _TAKEN:
                raise ValueError(
                    f"{name!r} is no name of a source; write up to 100 letters, digits, dots and "
                    f"dashes, none of {', '.join(sorted(_TAKEN))}"
                )
            if source.url is None:
                raise ValueError(f"{name} has no url; write http://host:9090")
        return sources

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        if self.sources and self.prometheus.url is not None:
            raise ValueError(
                "prometheus.url and [sources] both name servers; make the former one of the latter"
            )
        return self

    def only(self, names: str) -> Settings | None:
        """The same with none but these of `sources`, commas between them; None where one of the
        names is none of theirs.
        """
        wanted = names.split(",")
        if not self.sources.keys() >= {*wanted}:
            return None
        return self.model_copy(update={"sources": {name: self.sources[name] for name in wanted}})

    def servers(self) -> dict[str, Settings]:
        """The metrics servers, by their names in the archive, each as settings whose `prometheus`
        is that server's; the one of `prometheus.url` has the name ``""``, since its address makes
        it. Empty where none is named.
        """
        if self.prometheus.url is not None:
            return {"": self}
        shared = self.prometheus.model_dump(exclude_unset=True)
        return {
            name: self.model_copy(
                update={
                    "prometheus": PrometheusSettings.model_validate(
                        shared | source.model_dump(exclude_unset=True, exclude={"host"})
                    )
                }
            )
            for name, source in self.sources.items()
        }

    def fingerprint(self) -> str:
        """Hash of what changes results: sizing, report, identity and metric names; not addresses or
        secrets.
        """
        shown = self.model_dump_json(
            include={"sizing", "report", "identity", "metrics", "forecast", "services", "types"}
        )
        return hashlib.sha256(shown.encode()).hexdigest()[:16]


def load_settings(file: Path | None = None, **overrides: Any) -> Settings:
    """Settings from `file` (default `capacity.toml` if it is there), the environment and
    `overrides`, the last winning.

    Args:
        file: a TOML file; must exist when given.
        overrides: values by dotted path with double underscores, such as `prometheus__url`; None is
            ignored.

    Raises:
        SettingsError: unreadable file, unknown name or impossible value.
    """
    if file is None and DEFAULT_FILE.is_file():
        file = DEFAULT_FILE
    _refuse_unknown_variables()
    table = ""
    try:
        settings = Settings(**_read(file) if file else {})
        for dotted, value in overrides.items():
            table = dotted.partition("__")[0]
            if value is not None:
                settings = override(settings, dotted, value)
    except ValidationError as error:
        raise SettingsError(
            _explain(error, file, table), "See docs/reference/settings.md for every setting"
        ) from error
    except EnvironmentSettingsError as error:
        hint = f"Its value must be JSON; {_PREFIX}PROMETHEUS__URL sets one key of a table"
        raise SettingsError(
            f"A variable {_PREFIX}... cannot be read: {error}", hint
        ) from None  # the cause holds its value
    return settings


def _refuse_unknown_variables() -> None:
    """pydantic-settings passes over variables of tables that it does not know, and over settings
    behind one underscore.
    """
    meant = {
        f"{_PREFIX}{table}_{name}".upper(): f"{_PREFIX}{table}__{name}".upper()
        for table in Settings.model_fields
        for name in _fields(table)
    }
    for variable in sorted(os.environ):
        if variable.upper() in meant:
            raise SettingsError(
                f"The variable {variable} names no setting: a table ends with two underscores",
                f"Call it {meant[variable.upper()]}",
            )
        table, nested, _ = variable.upper().removeprefix(_PREFIX).partition("__")
        if (
            variable.upper().startswith(_PREFIX)
            and nested
            and table.lower() not in Settings.model_fields
        ):
            hint = (
                f"The tables are {', '.join(Settings.model_fields)}; see docs/reference/settings.md"
            )
            raise SettingsError(
                f"The variable {variable} names no setting: there is no table {table.lower()}", hint
            )


def _read(file: Path) -> dict[str, Any]:
    try:
        text = read_bounded(file, _MOST_BYTES).decode()
        refuse_endless_names(text)
        tables = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(
            f"Cannot read {file}: {error.strerror}", "Name a readable file with --config"
        ) from error
    except RecursionError as error:
        raise SettingsError(f"{file} is nested too deep", "Correct it") from error
    except (ValueError, OverflowError) as error:  # also what `tomllib` makes of 2026-99-99
        raise SettingsError(
            f"{file} is no valid TOML: {error}", "Correct the line named above"
        ) from error
    _warn_of_readers(file, tables)
    return _absolute_paths(tables, file.resolve().parent)


@cache
def _warn_once(told: str) -> None:
    _log.warning("%s", told)


def _warn_of_readers(file: Path, tables: dict[str, Any]) -> None:
    told = _readers(file, tables)
    if told:
        _warn_once(told)


def exposed_secrets(file: Path | None) -> str:
    """A sentence on secrets in a settings file that everybody can read; empty where there are none.

    Args:
        file: default `capacity.toml` if it is there.

    Raises:
        SettingsError: it cannot be read.
    """
    chosen = file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    return _readers(chosen, _read(chosen)) if chosen else ""


def _readers(file: Path, tables: dict[str, Any]) -> str:
    secret = sorted(_secrets(tables))
    if not secret or not file.stat().st_mode & stat.S_IROTH:
        return ""
    return f"everybody on this machine can read {', '.join(secret)} in {file}: chmod o= {file}"


def _secrets(tables: dict[str, Any]) -> Iterator[str]:
    """The names of the secrets that stand in the file itself."""
    secret = _fields_of(SecretStr)
    for shown, table, keys in _each_table(tables):
        for key, value in keys.items():
            credentials = isinstance(value, str) and bool(re.search(r"://[^/@]*:[^/@]*@", value))
            if (key in secret.get(table, ()) or credentials) and value:
                yield f"{shown}.{key}"


def _each_table(tables: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, kind and keys of every table; one of `[sources]` is of the kind of `[prometheus]`."""
    for table, keys in tables.items():
        if not isinstance(keys, dict):
            continue
        if table != "sources":
            yield table, table, keys
            continue
        for name, source in keys.items():
            if isinstance(source, dict):
                yield f"{table}.{name}", "prometheus", source


def _absolute_paths(tables: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paths in a settings file are relative to that file, not to where the scheduler happens to
    start.
    """
    paths = _fields_of(Path)
    for _, table, entries in _each_table(tables):
        keys = paths.get(table, frozenset())
        entries |= {key: _placed(entries[key], folder) for key in keys & entries.keys()}
    books = tables.get("compliance")
    if isinstance(books, dict) and isinstance(books.get("rules"), list):
        books["rules"] = [
            book if book == "house" or not isinstance(book, str) else str(folder / book)
            for book in books["rules"]
        ]
    return tables


def _placed(value: Any, folder: Path) -> Any:
    """A path, or all paths of a list or a mapping; anything else is refused later."""
    if isinstance(value, list):
        return [_placed(part, folder) for part in value]
    if isinstance(value, dict):
        return {name: _placed(part, folder) for name, part in value.items()}
    if not isinstance(value, str):
        return value
    return folder / os.path.expanduser(os.path.expandvars(value))  # noqa: PTH111 - Path's raises


@cache
def _fields_of(kind: type) -> dict[str, frozenset[str]]:
    """Table -> its settings of a type, or of lists and mappings of it."""
    return {
        table: frozenset(
            name for name, field in _fields(table).items() if _mentions(field.annotation, kind)
        )
        for table in Settings.model_fields
    }


def _fields(table: str) -> dict[str, FieldInfo]:
    """The settings of a table; none of one that has names of its users' choice."""
    return getattr(Settings.model_fields[table].annotation, "model_fields", {})


def _mentions(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(_mentions(part, kind) for part in get_args(annotation))


def override(settings: Settings, dotted: str, value: Any) -> Settings:
    """The same settings with one value changed, named by its path such as `prometheus__url`.

    Raises:
        SettingsError: the value is impossible.
    """
    table, _, key = dotted.partition("__")
    part = getattr(settings, table)
    try:
        changed = type(part).model_validate({**part.model_dump(exclude_unset=True), key: value})
    except ValidationError as error:
        raise SettingsError(
            _explain(error, None, table), "See docs/reference/settings.md for every setting"
        ) from error
    # a server that is named now is meant alone
    alone: dict[str, Any] = {"sources": {}} if dotted == "prometheus__url" else {}
    return settings.model_copy(update={table: changed, **alone})


def _explain(error: ValidationError, file: Path | None, table: str) -> str:
    """One line on the first fault; `table` is the one that an override changes."""
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in ([table] if table else []) + [*first["loc"]])
    said = first["msg"].removeprefix("Value error, ")
    cause = "is no setting" if first["type"] == "extra_forbidden" else said[:1].lower() + said[1:]
    where = (
        f" (in {file} or the environment)"
        if file and not table
        else " (from the environment or the command line)"
    )
    return f"{f'Setting {name}' if name else 'The settings'}{where}: {cause}"

"""The tables of `capacity.toml`: every setting with its kind, default and meaning."""

from capacity.settings._tables.changes import ApplySettings, UnattendedSettings
from capacity.settings._tables.engines import EngineSettings
from capacity.settings._tables.monitoring import (
    ComplianceSettings,
    MonitorSettings,
    OperationsSettings,
)
from capacity.settings._tables.reports import DeliverySettings, ReportSettings, ScheduleSettings
from capacity.settings._tables.sizing import (
    ComputeSettings,
    ForecastSettings,
    MoneySettings,
    OwnerSettings,
    PlacementSettings,
    ServiceSettings,
    SizingSettings,
    TypeSettings,
)
from capacity.settings._tables.sources import (
    ArchiveSettings,
    CollectSettings,
    IdentitySettings,
    PrometheusSettings,
    SourceSettings,
)

__all__ = [
    "ApplySettings",
    "ArchiveSettings",
    "CollectSettings",
    "ComplianceSettings",
    "ComputeSettings",
    "DeliverySettings",
    "EngineSettings",
    "ForecastSettings",
    "IdentitySettings",
    "MoneySettings",
    "MonitorSettings",
    "OperationsSettings",
    "OwnerSettings",
    "PlacementSettings",
    "PrometheusSettings",
    "ReportSettings",
    "ScheduleSettings",
    "ServiceSettings",
    "SizingSettings",
    "SourceSettings",
    "TypeSettings",
    "UnattendedSettings",
]

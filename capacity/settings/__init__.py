"""Settings from `capacity.toml` and the environment, validated."""

from capacity.settings._load import DEFAULT_FILE, Settings, load_settings, override
from capacity.settings._models import (
    ApplySettings,
    ArchiveSettings,
    ComplianceSettings,
    EngineSettings,
    ForecastSettings,
    IdentitySettings,
    MoneySettings,
    MonitorSettings,
    OperationsSettings,
    PlacementSettings,
    PrometheusSettings,
    ReportSettings,
    ServiceSettings,
    SizingSettings,
    TypeSettings,
    UnattendedSettings,
)

__all__ = [
    "DEFAULT_FILE",
    "ApplySettings",
    "ArchiveSettings",
    "ComplianceSettings",
    "EngineSettings",
    "ForecastSettings",
    "IdentitySettings",
    "MoneySettings",
    "MonitorSettings",
    "OperationsSettings",
    "PlacementSettings",
    "PrometheusSettings",
    "ReportSettings",
    "ServiceSettings",
    "Settings",
    "SizingSettings",
    "TypeSettings",
    "UnattendedSettings",
    "load_settings",
    "override",
]

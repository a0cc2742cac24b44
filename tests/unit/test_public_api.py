"""The public Python API is what is written here; all else is private by its name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import capacity

PUBLIC = {
    "capacity": "__version__ forecast open_history recommend",
    "capacity.changes": """
        AppliedChange ApplyPreview Branch Correction EditReason EditRefused LimitForecast MadeFrom
        Outcome Plan PlannedChange ResumePreview RollbackPreview RunResult
        alert_rules applied_changes apply_plan commit_plan correct_units dry_run edit_compose
        emit_override emit_patch emit_scripts failure_cooldowns is_edited limit_forecasts make_plan
        plan_id plan_schema plan_text promised_outcomes read_plan resume resume_preview rollback
        rollback_preview update_command write_plan
    """,
    "capacity.compliance": """
        Assessment Check Evidence Facts Finding PortProposal Report Rule Severity Status Targets
        Verdict Waiver
        assess collect_facts evaluate failed load_rules load_waivers passed propose_ports unknown
    """,
    "capacity.errors": """
        ApplyFailed BadAnswer CapacityError ChangeRefused ComposeError ContainerGone Denied
        EditRefused EngineError EngineRefused EngineUnreachable InputError JournalLost Locked
        NoHistory PoolBusy PoolUnhealthy QueryRefused ReportError SettingsError SourceError
        StorageError Unreachable UsageError WorkError
    """,
    "capacity.forecasting": "DEFAULT_QUANTILES Forecaster PeakDistribution hash_of totals",
    "capacity.history": """
        ArchiveStatus DamagedFile History PrunedDays archive_status prune_archive verify_archive
    """,
    "capacity.model": """
        Action Change Limits Reason Resource RestartLimit ServiceKey Setting Signal StepState Value
    """,
    "capacity.operations": "Instance InstancePool RestartLoop find_restart_loops",
    "capacity.reporting": "remediation",
    "capacity.reporting.compliance": """
        ComplianceReview REPORT changed checklist failing header ports review save timeline trend
        waivers
    """,
    "capacity.reporting.monthly": """
        MonthlyReview REPORT agenda header misses month_name owned packing plan promises review save
        savings scorecards what_if
    """,
    "capacity.reporting.quarterly": """
        QuarterlyReview REPORT SIGNALS WINDOW debts header promises quarter_name review risks rules
        runways save structure trends waivers
    """,
    "capacity.reporting.weekly": """
        REPORT WeeklyReview appendix changes_since days_remaining decisions drifted evidence fleet
        forecasts frontiers header heatmap oversized realised review risks save scorecards
        undersized unlimited
    """,
    "capacity.settings": """
        ApplySettings ArchiveSettings CollectSettings ComplianceSettings ComputeSettings
        DEFAULT_FILE DeliverySettings EngineSettings ForecastSettings IdentitySettings MoneySettings
        MonitorSettings OperationsSettings OwnerSettings PlacementSettings PrometheusSettings
        ReportSettings
        ScheduleSettings ServiceSettings Settings SizingSettings TypeSettings UnattendedSettings
        exposed_secrets load_settings override
    """,
    "capacity.sizing": """
        Context LimitHits PEAK_QUANTILES POLICIES Past Placement Prices RAISED_FROM ServiceRule
        ServiceType TYPES changes_from find_limit_hits forecast_load frontier place recommend replay
        savings
    """,
}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_exports_what_is_written_here(name: str) -> None:
    """Neither more nor less, each name is there, and whatever it defines has a docstring."""
    module = importlib.import_module(name)
    assert sorted(module.__all__) == sorted(PUBLIC[name].split())
    for member in module.__all__:
        thing = getattr(module, member)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert inspect.getdoc(thing), member


def test_every_other_module_is_private() -> None:
    """A part of its dotted path begins with an underscore."""
    names = {"capacity"} | {
        module.name for module in pkgutil.walk_packages(capacity.__path__, "capacity.")
    }
    public = {name for name in names if not any(part.startswith("_") for part in name.split("."))}
    assert public == set(PUBLIC)


@pytest.mark.parametrize(
    "promised",
    [
        "capacity.open_history",
        "capacity.forecast",
        "capacity.recommend",
        "capacity.forecasting.Forecaster",
        "capacity.sizing.recommend",
        "capacity.sizing.replay",
        "capacity.sizing.POLICIES",
        "capacity.changes.edit_compose",
        "capacity.changes.EditRefused",
    ],
)
def test_names_promised_for_good_are_there(promised: str) -> None:
    """People's notebooks and scripts import these; they never move."""
    module, _, name = promised.rpartition(".")
    assert name in importlib.import_module(module).__all__
    assert getattr(importlib.import_module(module), name)

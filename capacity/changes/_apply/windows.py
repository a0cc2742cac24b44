"""Whether plans may be applied now."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from capacity.errors import ChangeRefused, SettingsError
from capacity.settings._maintenance_window import parse_maintenance_window

__all__ = ["check_window"]


def check_window(windows: Iterable[str], now: datetime) -> None:
    """Refuse when there are windows and none is open.

    Raises:
        ChangeRefused: outside all of them.
        SettingsError: one cannot be read.
    """
    windows = list(windows)
    try:
        is_open = [parse_maintenance_window(window).is_open(now) for window in windows]
    except ValueError as error:
        raise SettingsError(f"apply.windows: {error}", "Correct it in capacity.toml") from error
    if windows and True not in is_open:
        raise ChangeRefused(
            f"No maintenance window is open at {now.astimezone(UTC):%a %H:%M} UTC: "
            f"{', '.join(windows)}",
            "Wait for the next one",
        )

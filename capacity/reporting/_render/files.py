"""The tables beside a page: every row with raw numbers, where the page shows some."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capacity._common.files import write_text
from capacity._common.text.escape import csv_cell
from capacity.reporting._exports import as_csv

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from capacity.model import Resource

__all__ = ["DAYS_REMAINING", "EVERY_LIMIT", "PEAK_P95", "QUALITY", "SCORECARD", "write_tables"]

EVERY_LIMIT = "recommendations.csv"
PEAK_P95 = "peak_p95"  # its column of the 95 % quantile of the forecast peak
QUALITY = "data-quality.csv"
SCORECARD = "scorecard.csv"
DAYS_REMAINING = "days-remaining.csv"


def write_tables(
    folder: Path, limits: Mapping[Resource, pd.DataFrame], others: Mapping[str, pd.DataFrame]
) -> None:
    """Write the recommendations, and other tables by file name, every row of them: cores, bytes,
    shares, days, UTC.

    Args:
        folder: where to.
        limits: recommendations by resource.
        others: indexed by service or host.

    Raises:
        StorageError: a file cannot be written.
    """
    write_text(folder / EVERY_LIMIT, as_csv(limits))
    for name, table in others.items():
        safe = table.set_axis([csv_cell(str(service)) for service in table.index])
        write_text(folder / name, safe.to_csv(index_label="name", lineterminator="\n"))

"""What happened: PromQL catalogue, metrics server, archive, imported files and the sample fleet."""

from capacity.history._archive.upkeep import (
    ArchiveStatus,
    DamagedFile,
    PrunedDays,
    archive_status,
    prune_archive,
    verify_archive,
)
from capacity.history._history import History

__all__ = [
    "ArchiveStatus",
    "DamagedFile",
    "History",
    "PrunedDays",
    "archive_status",
    "prune_archive",
    "verify_archive",
]

"""What an archive knows of its sources, and how they are named in it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

__all__ = [
    "MOST_OF_A_RECORD",
    "SourceRecord",
    "parse_record",
    "plain_address",
    "record_text",
    "source_name",
]

MOST_OF_A_RECORD = 2**22  # bytes
_FORMAT = 1
_DAY = 86_400


@dataclass(frozen=True)
class SourceRecord:
    """What an archive knows of a source, enough to work without it.

    Attributes:
        name: folder in the archive.
        url: address without credentials; empty for imported and collected history.
        kind: prometheus, victoriametrics, thanos, mimir, import or collect.
        scrape_interval: seconds between scrapes, which sets how far rates look back; 0 while
            nothing was scraped yet.
        queries: signal -> PromQL text used last.
    """

    name: str
    url: str
    kind: str
    scrape_interval: int
    queries: dict[str, str]


def parse_record(content: bytes, folder: str) -> SourceRecord:
    """The record of a folder.

    Raises:
        ValueError: it is none, or that of another folder, where days would be written.
    """
    try:
        fields = json.loads(content)
        fields.pop("format")
        return _record(fields, folder)
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("it is no record of a source") from error


def record_text(source: SourceRecord) -> str:
    """A record as it is written."""
    return json.dumps({"format": _FORMAT, **asdict(source)}, indent=2, sort_keys=True) + "\n"


def _record(fields: dict[str, Any], folder: str) -> SourceRecord:
    record = SourceRecord(**fields)
    texts = (record.name, record.url, record.kind, *record.queries, *record.queries.values())
    if record.name != folder or not all(isinstance(text, str) for text in texts):
        raise ValueError("it is of another source")
    if type(record.scrape_interval) is not int or not 0 <= record.scrape_interval <= _DAY:
        raise ValueError("its scrape interval is none")
    return record


def plain_address(url: str) -> str:
    """The address without credentials, query and trailing slash: fit for messages and file
    names.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.rpartition("@")[2]
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def source_name(address: str, kind: str) -> str:
    """Folder name of a source: readable, and different for each address and kind of server."""
    digest = hashlib.sha256(f"{kind} {address}".encode()).hexdigest()[:8]
    readable = re.sub(r"[^a-zA-Z0-9.-]+", "-", address.partition("://")[2]).strip("-.")[:60]
    return f"{readable}-{kind}-{digest}"

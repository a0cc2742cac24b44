"""A block of history as one Parquet file: one row a service, its samples as one list.

The list keeps a file small and quick to read (no index a sample), and any Parquet reader shows
which service it is. Page checksums find a damaged file; a temporary file and a rename make sure
that nobody reads half of one.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capacity._common.files import storage_error, write_atomically
from capacity._common.plain_data import PlainMapping
from capacity.history._service_series import SeriesBlock

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["Damaged", "Footer", "read_block", "read_footer", "write_block"]

_META = b"capacity"
_UNEVEN = "uneven"
_TOGETHER = 512  # rows that are read together, where some of a large fleet are asked for


class Damaged(Exception):
    """The file is no readable block."""


@dataclass(frozen=True)
class Footer:
    """Of a block without its samples: rows, bytes of the file, and its meta."""

    rows: int
    size: int
    meta: PlainMapping


def write_block(path: Path, block: SeriesBlock, meta: PlainMapping) -> None:
    """Write `block` and its `meta` (JSON values) to `path`, whole or not at all.

    Raises:
        StorageError: the folder cannot be written or the disk is full.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    told = {**meta, **({_UNEVEN: dict(block.uneven)} if block.uneven else {})}
    points = block.values.shape[1]
    flat = pa.array(np.ascontiguousarray(block.values).reshape(-1), type=pa.float64())
    table = pa.table(
        {
            "name": pa.array(block.names, pa.string()),
            "host": pa.array(block.hosts, pa.string()),
            "replicas": pa.array(block.replicas, pa.int32()),
            "values": pa.FixedSizeListArray.from_arrays(flat, points),
        }
    ).replace_schema_metadata({_META: json.dumps(told, sort_keys=True).encode()})

    def write(temporary: Path) -> None:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            use_dictionary=["host", "replicas"],
            column_encoding={"values.list.element": "BYTE_STREAM_SPLIT"},
            write_page_checksum=True,
            row_group_size=_TOGETHER,
            # which names a group has; of one group alone nobody asks
            write_statistics=["name"] if len(block.names) > _TOGETHER else False,
        )

    write_atomically(path, write)


def read_block(path: Path, only: frozenset[str] | None = None) -> tuple[SeriesBlock, PlainMapping]:
    """The block in `path` and its meta.

    Args:
        path: of the file.
        only: names of the rows wanted, in the order of the file; None = all. Others are not read,
            as far as they lie apart.

    Raises:
        Damaged: not a block, or its checksums do not hold.
        FileNotFoundError: no such file.
        StorageError: it cannot be read for another reason.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if only is None:  # at once, so that an error of the disk is told from a damaged file
            content: pa.NativeFile = pa.BufferReader(path.read_bytes())
        else:
            content = pa.OSFile(str(path))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        with pq.ParquetFile(content, page_checksum_verification=True) as file:
            table = file.read(use_threads=False) if only is None else _some_rows(file, only)
        meta = json.loads((table.schema.metadata or {})[_META])
        lists = table.column("values").combine_chunks()
        values = (
            lists.flatten().to_numpy(zero_copy_only=False).reshape(len(lists), lists.type.list_size)
        )
        uneven = {str(name): float(ratio) for name, ratio in meta.pop(_UNEVEN, {}).items()}
        names, hosts, replicas = (
            table.column(name).to_pylist() for name in ("name", "host", "replicas")
        )
    except (
        pa.ArrowException,
        OSError,
        KeyError,
        AttributeError,
        ValueError,
        TypeError,
        MemoryError,
    ) as error:
        raise Damaged(" ".join(str(error).split())) from error
    return SeriesBlock(names, hosts, replicas, values, uneven), meta


def _some_rows(file: pq.ParquetFile, only: frozenset[str]) -> pa.Table:
    """The rows of these names, read from the row groups that may have any."""
    import pyarrow as pa
    import pyarrow.compute as pc

    first, last = min(only, default=""), max(only, default="")
    groups = []
    for at in range(file.num_row_groups):
        known = file.metadata.row_group(at).column(0).statistics
        # files of earlier versions do not tell which names a group has
        if known is None or not known.has_min_max or (known.min <= last and first <= known.max):
            groups.append(at)
    table = file.read_row_groups(groups, use_threads=False)
    return table.filter(pc.is_in(table.column("name"), pa.array(sorted(only), pa.string())))


def read_footer(path: Path) -> Footer:
    """How many rows the block in `path` has, without reading them.

    Raises:
        Damaged: not a block.
        FileNotFoundError: no such file.
        StorageError: it cannot be read for another reason.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            footer = pq.read_metadata(handle)
            meta = json.loads((footer.metadata or {})[_META])
            return Footer(int(footer.num_rows), size, dict(meta))
    except FileNotFoundError:
        raise
    except (pa.ArrowException, KeyError, ValueError, TypeError, RecursionError) as error:
        raise Damaged(" ".join(str(error).split())) from error
    except OSError as error:
        if error.errno is None:  # pyarrow's word for what is no Parquet
            raise Damaged(" ".join(str(error).split())) from error
        raise storage_error(path, error) from error

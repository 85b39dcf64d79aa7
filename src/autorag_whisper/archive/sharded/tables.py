"""Parquet, by pyarrow (extra `archive`): plans, lists of recordings, and merged results. Nothing is held whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from autorag_whisper.archive.sharded.rows import MARK
from autorag_whisper.domain.errors import ExtraNotInstalled

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise ExtraNotInstalled("pyarrow", "archive", str(error)) from error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_ROWS_AT_ONCE = 10_000
_KEY = MARK.encode()

PLAN = pa.schema(
    [
        pa.field("shard", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        ("duration_s", pa.float64()),
        ("size_bytes", pa.int64()),
        ("also", pa.list_(pa.string())),
    ]
)

FILES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        ("also", pa.list_(pa.string())),
        pa.field("shard", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        ("attempt", pa.int32()),
        ("error_type", pa.string()),
        ("error", pa.string()),
        ("may_succeed_later", pa.bool_()),
        ("duration_s", pa.float64()),
        ("language", pa.string()),
        ("language_probability", pa.float64()),
        ("text", pa.string()),
        ("segments", pa.int32()),
        ("words", pa.int32()),
        ("speech_s", pa.float64()),
        ("skipped_s", pa.float64()),
        ("model", pa.string()),
        ("device", pa.string()),
        ("compute_type", pa.string()),
        ("engine_s", pa.float64()),
        ("notes", pa.list_(pa.string())),
    ]
)
SEGMENTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("segment", pa.int32(), nullable=False),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("avg_logprob", pa.float64()),
        ("compression_ratio", pa.float64()),
        ("no_speech_prob", pa.float64()),
        ("temperature", pa.float64()),
    ]
)
WORDS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("segment", pa.int32(), nullable=False),
        pa.field("word", pa.int32(), nullable=False),
        ("text", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("probability", pa.float64()),
        ("source", pa.string()),
        ("score", pa.float64()),
        ("space_before", pa.bool_()),
    ]
)


def write_plan_table(file: BinaryIO, head: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a plan; its head stands in the schema's metadata. Raises UnicodeEncodeError for what is no UTF-8."""
    schema = PLAN.with_metadata({_KEY: json.dumps(head)})
    with pq.ParquetWriter(file, schema) as writer:
        for batch in _batches(rows):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))


def plan_head(path: Path) -> Any:
    """The head of a plan; None where the file is none. Raises OSError."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        return json.loads(metadata.get(_KEY, b"null"))
    except pa.ArrowInvalid as error:
        raise ValueError("it is no Parquet file") from error


def plan_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a plan."""
    return _rows(path)


def plan_rows_of(path: Path, shard: int) -> list[dict[str, Any]]:
    """The rows of one shard of a plan; groups of rows that have none of it are not read."""
    rows: list[dict[str, Any]] = pq.read_table(path, filters=[("shard", "=", shard)]).to_pylist()
    return rows


def listed_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of any table. Raises InvalidList."""
    from autorag_whisper.domain.archive_errors import InvalidList
    from autorag_whisper.files import system_reason

    try:
        yield from _rows(path)
    except OSError as error:
        raise InvalidList(str(path), system_reason(error)) from error
    except pa.ArrowInvalid as error:
        raise InvalidList(path.name, "it is no Parquet file") from error


class TableWriter:
    """Rows of one table into a Parquet file, a row group at a time."""

    def __init__(self, file: BinaryIO, schema: pa.Schema, rows_at_once: int = 100_000) -> None:
        self._writer = pq.ParquetWriter(file, schema, compression="zstd")
        self._schema, self._rows_at_once = schema, rows_at_once
        self._rows: list[Mapping[str, Any]] = []

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Rows with the schema's names."""
        self._rows.extend(rows)
        if len(self._rows) >= self._rows_at_once:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._rows, self._schema))
            self._rows = []


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            yield from batch.to_pylist()


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    batch: list[Mapping[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch

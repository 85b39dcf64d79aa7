"""A plan as a file: JSON lines, or Parquet where its name ends so. Rows stand in the order of their shards."""

from __future__ import annotations

import itertools
import json
import operator
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from autorag_whisper.archive.sharded.rows import Head, Row, dumps
from autorag_whisper.domain.archive_errors import InvalidPlan, NoSuchShard, PlanUnwritable
from autorag_whisper.files import replaced, system_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PARQUET = ".parquet"
_NEAR_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Share:
    """The shards of one of several processes: number `index`, from 0, of `count`. Raises NoSuchShard."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise NoSuchShard(f"{self.index}/{self.count}")

    @classmethod
    def parse(cls, text: str) -> Share:
        """Of `I/N`. Raises NoSuchShard."""
        index, _, count = text.partition("/")
        if not (index.strip().isdecimal() and count.strip().isdecimal()):
            raise NoSuchShard(text)
        return cls(int(index), int(count))

    def has(self, shard: int) -> bool:
        """Whether a shard is its: neighbours, which cost about the same, go to different processes."""
        return shard % self.count == self.index


ALL = Share()


class PlanFile:
    """A plan on the disk. Nothing of it is kept in memory but its head.

    Raises:
        InvalidPlan: at once, or while rows are read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head = self._read_head()

    def rows(self, share: Share = ALL) -> Iterator[Row]:
        """Every recording of a share's shards, shard by shard."""
        source = self._parquet_rows(share) if self.path.suffix == PARQUET else self._json_rows(share)
        before = -1
        try:
            for line, row in source:
                if row.shard < before or row.shard >= self.head.shards:
                    raise InvalidPlan(self.path.name, "its recordings do not stand in the order of their shards", line)
                before = row.shard
                yield row
        except OSError as error:
            raise InvalidPlan(str(self.path), system_reason(error)) from error

    def shards(self, share: Share = ALL) -> Iterator[tuple[int, list[Row]]]:
        """Every shard of a share that has recordings, with these."""
        for shard, rows in itertools.groupby(self.rows(share), operator.attrgetter("shard")):
            yield shard, self._each_once(list(rows))

    def rows_of(self, shard: int) -> list[Row]:
        """The recordings of one shard, found without reading the others."""
        try:
            return self._each_once(self._found(shard))
        except ValueError as error:
            raise InvalidPlan(self.path.name, str(error)) from error
        except OSError as error:
            raise InvalidPlan(str(self.path), system_reason(error)) from error

    def _found(self, shard: int) -> list[Row]:
        if self.path.suffix == PARQUET:
            from autorag_whisper.archive.sharded.tables import plan_rows_of

            return [Row.of(data) for data in plan_rows_of(self.path, shard)]
        with self.path.open("rb") as file:
            file.seek(_place_of(file, shard))
            rows: list[Row] = []
            for line in file:
                row = Row.of(json.loads(line))
                if row.shard > shard:
                    break
                if row.shard == shard:
                    rows.append(row)
            return rows

    def _each_once(self, rows: list[Row]) -> list[Row]:
        """Rows of a shard, none of which may have another's id: a result would be of both."""
        if len({row.id for row in rows}) < len(rows):
            twice = next(who for who, count in Counter(row.id for row in rows).items() if count > 1)
            raise InvalidPlan(self.path.name, f"shard {rows[0].shard} has {twice!r} twice")
        return rows

    def _read_head(self) -> Head:
        try:
            if self.path.suffix == PARQUET:
                from autorag_whisper.archive.sharded.tables import plan_head

                return Head.of(plan_head(self.path))
            with self.path.open("rb") as file:
                return Head.of(json.loads(file.readline(1 << 16) or b"null"))
        except OSError as error:
            raise InvalidPlan(str(self.path), system_reason(error)) from error
        except ValueError as error:
            reason = "it is no plan" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else str(error)
            raise InvalidPlan(self.path.name, reason) from error

    def _json_rows(self, share: Share) -> Iterator[tuple[int, Row]]:
        with self.path.open("rb") as file:
            file.readline()
            for number, line in enumerate(file, 2):
                shard = _shard_of(line)
                if shard is not None and not share.has(shard):
                    continue
                try:
                    row = Row.of(json.loads(line.decode()))
                except ValueError as error:
                    raise InvalidPlan(self.path.name, str(error), number) from error
                if share.has(row.shard):
                    yield number, row

    def _parquet_rows(self, share: Share) -> Iterator[tuple[int, Row]]:
        from autorag_whisper.archive.sharded.tables import plan_rows

        for number, data in enumerate(plan_rows(self.path), 1):
            if share.has(data["shard"]):
                try:
                    yield number, Row.of(data)
                except ValueError as error:
                    raise InvalidPlan(self.path.name, str(error), number) from error


def write_plan(path: Path, head: Head, lines: Iterable[tuple[int, str]]) -> None:
    """Write a plan, whole or not at all.

    `lines`: (shard, `rows.dumps` of a row's `facts`), in the order of the shards.

    Raises:
        PlanUnwritable: it cannot be written, or not so that it can be read again (Parquet knows text alone).
        ExtraNotInstalled: for Parquet, without the extra `archive`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == PARQUET:
            from autorag_whisper.archive.sharded.tables import write_plan_table

            with replaced(path) as file:
                write_plan_table(file, head.facts(), ({"shard": n, **json.loads(line)} for n, line in lines))
            return
        with replaced(path) as file:
            file.write(dumps(head.facts()).encode() + b"\n")
            for shard, line in lines:
                file.write(b'{"shard":%d,%b\n' % (shard, line[1:].encode()))
    except OSError as error:
        raise PlanUnwritable(str(path), f"it cannot be written: {system_reason(error)}") from error
    except UnicodeEncodeError as error:
        raise PlanUnwritable(
            path.name, "Parquet holds no names that are no UTF-8, a plan called *.jsonl does"
        ) from error


def _place_of(file: BinaryIO, shard: int) -> int:
    """Where a line begins before which no recording of the shard stands: by halving, as shards stand in order."""
    low = len(file.readline())  # all lines that begin before it are of lower shards
    high = file.seek(0, os.SEEK_END)
    while high - low > _NEAR_BYTES:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        at, line = file.tell(), file.readline()
        number = _shard_of(line)
        if line and number is None:
            number = Row.of(json.loads(line)).shard
        if number is not None and number < shard:
            low = at
        else:
            high = middle
    return low


def _shard_of(line: bytes) -> int | None:
    """The shard of a line as `write_plan` writes it, without reading the rest; None where it is written otherwise."""
    start, _, rest = line.partition(b":")
    number = rest.partition(b",")[0]
    return int(number) if start == b'{"shard"' and number.isdigit() else None

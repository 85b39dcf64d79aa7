"""The results of a run: a folder that is called after the model and a digest of model and options.

    OUT/base-3f2a90c1b7de/run.json                      the plan, the model, the options, by whom it was begun
    OUT/base-3f2a90c1b7de/parts/0000/0000012.<digest>.jsonl.gz   results of shard 12 (`sharded.parts`)

What is done is what the parts say. Nothing else is noted anywhere, so nothing else can be wrong.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from autorag_whisper.archive.outputs import make_writable, write_together
from autorag_whisper.archive.sharded.parts import SUFFIX, best, read_entries, read_records, write_part
from autorag_whisper.domain.archive_errors import (
    OutputFolderUnwritable,
    ResultsDamaged,
    ResultsNotFound,
    ResultsOfAnotherPlan,
)
from autorag_whisper.files import TEMPORARY, system_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from autorag_whisper.archive.sharded.parts import Entry
    from autorag_whisper.archive.sharded.rows import Row

RUN_FILE, PARTS = "run.json", "parts"
_SHARDS_A_FOLDER = 100
_LEFT_OVER_S = 3600.0
_PART = re.compile(rf"(\d+)\.[0-9a-f]+{re.escape(SUFFIX)}")
_DIGEST_DIGITS = 12
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LISTS_AT_MOST = 5
_LOOKS = 20
"""At parts that go while they are read; each time others have joined some, so that there are fewer."""
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a folder's results are of: the plan's identity, the model, and the digest of model and options."""

    plan: str
    model: str
    digest: str
    details: Mapping[str, Any]

    @property
    def folder_name(self) -> str:
        """The folder of the results."""
        name = _UNSAFE.sub("-", self.model).strip("-.")[-40:] or "model"
        return f"{name}-{self.digest[:_DIGEST_DIGITS]}"

    @classmethod
    def read(cls, folder: Path) -> RunFacts:
        """Of a folder of results. Raises ResultsDamaged, FileNotFoundError."""
        path = folder / RUN_FILE
        try:
            data = json.loads(path.read_bytes())
            return cls(str(data["plan"]), str(data["model"]), str(data["digest"]), dict(data.get("details", {})))
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ResultsDamaged(str(path), str(error)) from error

    def write(self, folder: Path) -> RunFacts:
        """Write them; where another process has been faster, what it has written. Raises OSError, ResultsDamaged."""
        text = {"plan": self.plan, "model": self.model, "digest": self.digest, "details": self.details}
        path = folder / RUN_FILE
        try:
            write_together({path: json.dumps(text, indent=1).encode() + b"\n"}, new=frozenset({path}))
        except FileExistsError:
            return RunFacts.read(folder)
        return self


class Results:
    """A folder of results. Any number of processes may read and write it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listed: tuple[int, dict[int, list[Path]]] | None = None

    @classmethod
    def begin(cls, output_dir: Path, facts: RunFacts) -> Results:
        """The folder for results of a plan, made where it is missing.

        Raises:
            ResultsOfAnotherPlan: it has those of another one.
            OutputFolderUnwritable: it cannot be written.
        """
        folder = output_dir / facts.folder_name
        try:
            make_writable(folder / PARTS)
            try:
                known = RunFacts.read(folder)
            except FileNotFoundError:
                known = facts.write(folder)
        except OSError as error:
            raise OutputFolderUnwritable(str(folder), system_reason(error)) from error
        if known.plan != facts.plan:
            raise ResultsOfAnotherPlan(str(folder))
        return cls(folder)

    @classmethod
    def find(cls, place: Path, plan: str) -> Results:
        """The results of a plan in a folder of results, or in the folder that was given to `run`.

        Raises:
            ResultsNotFound: there are none, or those of several runs.
            ResultsOfAnotherPlan: there are only such.
        """
        folders = (
            [place] if (place / RUN_FILE).is_file() else sorted(path.parent for path in place.glob(f"*/{RUN_FILE}"))
        )
        ours = [folder for folder in folders if RunFacts.read(folder).plan == plan]
        if folders and not ours:
            raise ResultsOfAnotherPlan(str(place))
        if len(ours) != 1:
            raise ResultsNotFound(str(place), tuple(folder.name for folder in ours[:_LISTS_AT_MOST]))
        return cls(ours[0])

    def entries(self, shard: int, *, anew: bool = False) -> dict[str, Entry]:
        """id -> what became of it, of every recording of a shard that has a result. Raises ResultsDamaged."""

        def read(parts: Sequence[Path]) -> dict[str, Entry]:
            found: dict[str, Entry] = {}
            for entry in (entry for path in parts for entry in read_entries(path)):
                known = found.get(entry.id)
                if known is None or entry.rank > known.rank:
                    found[entry.id] = entry
            return found

        return self._read(shard, read, anew=anew)

    def left(self, shard: int, rows: Sequence[Row], attempt: int, *, anew: bool = False) -> list[Row]:
        """What of a shard's recordings is still to be done by a run of `attempt`.

        Without `anew` what others have done since the last look may be missing from what is done.
        """
        entries = self.entries(shard, anew=anew)
        return [row for row in rows if (entry := entries.get(row.id)) is None or not entry.is_settled(attempt)]

    def records(self, shard: int) -> dict[str, Mapping[str, Any]]:
        """id -> the result that counts. Raises ResultsDamaged."""
        return self._read(shard, lambda parts: best(one for path in parts for one in read_records(path)), anew=True)

    def add(self, shard: int, records: Sequence[Mapping[str, Any]]) -> None:
        """Keep results of a shard; they are on the disk then. Raises OSError."""
        folder = self._folder_of(shard)
        folder.mkdir(parents=True, exist_ok=True)
        write_part(folder, shard, records)
        self._listed = None

    def join(self, shard: int) -> None:
        """Make one part of a shard's parts. Whatever others do meanwhile, no result is lost. Raises OSError.

        Parts are removed only when all that was read in them is in a part that is on the disk, and a part with the
        same results has the same name: two that join at once, also each other's outcome, leave every result in one.
        """
        parts = self._parts(shard, anew=True)
        if len(parts) < 2:
            return
        try:
            records = best(record for path in parts for record in read_records(path))
        except FileNotFoundError:  # another process is joining them
            return
        joined = write_part(self._folder_of(shard), shard, [records[who] for who in sorted(records)])
        for path in parts:
            if path != joined:
                path.unlink(missing_ok=True)
        self._remove_left_over(joined)
        self._listed = None

    def _remove_left_over(self, part: Path) -> None:
        """Remove what processes that were killed an hour before `part` was written, or earlier, left half written."""
        now_s = part.stat().st_mtime
        for path in part.parent.glob(TEMPORARY.format("*")):
            with contextlib.suppress(FileNotFoundError):
                if now_s - path.stat().st_mtime > _LEFT_OVER_S:
                    path.unlink()

    def _read(self, shard: int, read: Callable[[Sequence[Path]], _Found], *, anew: bool) -> _Found:
        """What `read` makes of a shard's parts, from the beginning where others join some of them meanwhile."""
        for looks_anew in (anew, *[True] * _LOOKS):
            try:
                return read(self._parts(shard, anew=looks_anew))
            except FileNotFoundError:
                continue
        raise ResultsDamaged(str(self._folder_of(shard)), "its files come and go")

    def _folder_of(self, shard: int) -> Path:
        return self.folder / PARTS / f"{shard // _SHARDS_A_FOLDER:04d}"

    def _parts(self, shard: int, *, anew: bool = False) -> list[Path]:
        """The parts of a shard, by name. A folder is listed once for all its shards, unless `anew`."""
        number = shard // _SHARDS_A_FOLDER
        if anew or self._listed is None or self._listed[0] != number:
            found: dict[int, list[Path]] = {}
            folder = self._folder_of(shard)
            for path in folder.iterdir() if folder.is_dir() else ():
                if match := _PART.fullmatch(path.name):
                    found.setdefault(int(match[1]), []).append(path)
            self._listed = number, found
        return sorted(self._listed[1].get(shard, ()))

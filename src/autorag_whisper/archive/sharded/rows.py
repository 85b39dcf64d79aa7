"""What stands in a plan: recordings with their shards, and what is true of the whole plan."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1
MARK = "autorag_whisper_plan"
"""The first key of a plan; its value is the version of the form."""
_ID_CHARACTERS = 200
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_FILE = "file://"


@dataclass(frozen=True, slots=True)
class Row:
    """A recording. Raises ValueError for what no plan may hold.

    `id`: its name in results, mostly a digest of its content; each once in a plan. `uri`: an absolute path, or an
    address of a storage (`s3://...`). `also`: other places of the same content. `duration_s` and `size_bytes`: where
    they are known. `shard`: counted from 0.
    """

    id: str
    uri: str
    duration_s: float | None = None
    size_bytes: int | None = None
    shard: int = 0
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < len(self.id) <= _ID_CHARACTERS or not self.id.isprintable():
            raise ValueError(f"an id is printable text of 1 to {_ID_CHARACTERS} characters, not {self.id[:80]!r}")
        if not self.uri or "\0" in self.uri or "\n" in self.uri:
            raise ValueError(f"{self.uri[:80]!r} is no place of a recording")
        if self.duration_s is not None and not (self.duration_s >= 0 and math.isfinite(self.duration_s)):
            raise ValueError(f"a duration is a number of seconds, not {self.duration_s!r}")
        if self.size_bytes is not None and self.size_bytes < 0:
            raise ValueError(f"a size is a number of bytes, not {self.size_bytes!r}")
        if self.shard < 0:
            raise ValueError(f"a shard is counted from 0, not {self.shard!r}")

    @property
    def name(self) -> str:
        """The last part of its place, for people."""
        return PurePosixPath(shown(self.uri)).name or self.uri

    def facts(self) -> dict[str, Any]:
        """All but the shard, without what is not known: what a line of a plan says."""
        known: dict[str, Any] = {"id": self.id, "uri": self.uri}
        if self.duration_s is not None:
            known["duration_s"] = self.duration_s
        if self.size_bytes is not None:
            known["size_bytes"] = self.size_bytes
        if self.also:
            known["also"] = list(self.also)
        return known

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Row:
        """Of a line of a plan. Raises ValueError."""
        try:
            duration, size, also = data.get("duration_s"), data.get("size_bytes"), data.get("also") or ()
            return cls(
                _text(data["id"]),
                _text(data["uri"]),
                None if duration is None else float(duration),
                None if size is None else int(size),
                int(data["shard"]),
                tuple(map(_text, also)),
            )
        except KeyError as missing:
            raise ValueError(f"{missing.args[0]!r} is missing") from missing
        except (TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"it is no recording ({error})") from error


@dataclass(frozen=True, slots=True)
class Head:
    """What is true of a whole plan. Raises ValueError.

    `plan` is its identity, which plans that extend it, and plans of what failed, share: the numbers of their shards
    mean the same. `attempt`: 1, and one more for each plan of what failed. `shards` counts all numbers, also those that
    have no recording here.
    """

    plan: str
    shards: int
    rows: int
    attempt: int = 1
    shard_minutes: float = 0.0
    speed: float = 0.0

    def __post_init__(self) -> None:
        if not self.plan.isalnum() or not self.plan.isascii():
            raise ValueError("the plan has no identity")
        if self.shards < 1 or self.rows < 0 or self.attempt < 1:
            raise ValueError("its numbers of shards, recordings or attempts make no sense")

    def facts(self) -> dict[str, Any]:
        """The first line of a plan."""
        return {
            MARK: VERSION,
            "plan": self.plan,
            "shards": self.shards,
            "rows": self.rows,
            "attempt": self.attempt,
            "shard_minutes": self.shard_minutes,
            "speed": self.speed,
        }

    @classmethod
    def of(cls, data: Any) -> Head:
        """Of the first line of a plan. Raises ValueError."""
        if not isinstance(data, dict) or MARK not in data:
            raise ValueError("it is no plan")
        if data[MARK] != VERSION:
            raise ValueError(f"it is a plan of version {data[MARK]!r}, and this is read by another version")
        try:
            return cls(
                str(data["plan"]),
                int(data["shards"]),
                int(data["rows"]),
                int(data.get("attempt", 1)),
                float(data.get("shard_minutes", 0.0)),
                float(data.get("speed", 0.0)),
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"its first line is not whole ({error})") from error


def dumps(facts: Mapping[str, Any]) -> str:
    """A line of JSON. ASCII: what is no UTF-8 comes back from its escapes as it was."""
    return json.dumps(facts, separators=(",", ":"))


def is_remote(uri: str) -> bool:
    """Whether it is an address of a storage, and no path."""
    return bool(_SCHEME.match(uri)) and not uri.startswith(_FILE)


def uri_of(path: Path) -> str:
    """The place of a local file: its absolute path, as `file://` where that is not printable text."""
    text = os.path.abspath(path)  # noqa: PTH100 - as it is named, links and all
    return text if text.isprintable() else Path(text).as_uri()


def path_of(uri: str) -> Path:
    """The local file at a place that is not remote."""
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix(_FILE)))) if uri.startswith(_FILE) else Path(uri)


def shown(uri: str) -> str:
    """A place for people, and for what is called after it: a path or an address without escapes."""
    return str(path_of(uri)) if uri.startswith(_FILE) else uri


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value

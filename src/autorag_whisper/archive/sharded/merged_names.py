"""The names of files that are made of recordings: in the tree of their places, and always ones that a file can have."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from autorag_whisper.archive.naming import LONGEST_BASE_BYTES, LONGEST_NAME_BYTES, fitted
from autorag_whisper.archive.sharded.rows import is_remote, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from autorag_whisper.archive.sharded.plan_file import PlanFile

_DIGITS = 16


class Names:
    """The names of files that are made of recordings: those of their places below the folder that all share.

    `talk.mp3` gives `talk.srt`, and `talk.mp3.srt` where something else would give that, too. A name that is too long
    for a file system is cut, with a digest at its end.
    """

    def __init__(self, plan: PlanFile) -> None:
        places = (uri for row in plan.rows() for uri in (row.uri, *row.also))
        self._common: tuple[str, ...] | None = None
        stems: Counter[bytes] = Counter()
        for uri in places:
            folder = _parts(uri)[:-1]
            shared = folder if self._common is None else self._common
            self._common = tuple(part for part, _ in _while_equal(shared, folder))
            stems[_digest(_stem(uri))] += 1
        self._twice = frozenset(key for key, count in stems.items() if count > 1)

    def of(self, who: str, uri: str, suffix: str) -> tuple[PurePosixPath, ...]:
        """Names to try one after the other, relative to the merged folder, of the recording `who` at `uri`.

        Of the first another may be there: "talk.mp3.srt" is of talk.mp3 beside talk.wav, and of talk.mp3.flac. The
        second has a digest. The third lies in no folder, as a file may be where its folder belongs.
        """
        base = shown(uri) if _digest(_stem(uri)) in self._twice else _stem(uri)
        *folders, last = _parts(base)[len(self._common or ()) :] or ("recording",)
        folder = PurePosixPath(*(fitted(name, LONGEST_NAME_BYTES) for name in folders))
        told_apart = fitted(f"{last}~{_digest(f'{who} {uri}').hex()[:_DIGITS]}", LONGEST_BASE_BYTES) + suffix
        first = fitted(last, LONGEST_BASE_BYTES) + suffix
        return folder / first, folder / told_apart, PurePosixPath(told_apart)


def _parts(uri: str) -> tuple[str, ...]:
    """The parts of a place. None is one that leads out of a folder."""
    text = shown(uri).replace("://", "/") if is_remote(uri) else shown(uri)
    return tuple(part for part in text.split("/") if part not in ("", ".", ".."))


def _stem(uri: str) -> str:
    """A place without its ending, unless that is all of its name."""
    place = PurePosixPath(shown(uri))
    return shown(uri).removesuffix(place.suffix) if place.stem not in ("", ".", "..") else shown(uri)


def _while_equal(one: Sequence[str], other: Sequence[str]) -> Iterator[tuple[str, str]]:
    for pair in zip(one, other, strict=False):
        if pair[0] != pair[1]:
            return
        yield pair


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

"""From a row of a plan to media: a local file as it is, an object of a storage fetched ahead by threads.

Or, where there is somebody who does it (`decode`), what was decoded ahead of the row's turn.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Self

from autorag_whisper.archive.sharded.rows import is_remote, path_of
from autorag_whisper.audio.source import MediaSource, printable
from autorag_whisper.domain.errors import MediaEmpty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from autorag_whisper.archive.sharded.rows import Row
    from autorag_whisper.audio.memory import Held

AHEAD = 4
"""Objects that are fetched before they are asked for; each is a temporary file meanwhile."""


@dataclass(frozen=True, slots=True, eq=False)
class _Fetched:
    """An object that is on its way; opened once, as a run reads each source once."""

    coming: Future[BinaryIO]

    def open(self, name: str) -> BinaryIO:
        file = self.coming.result()
        if not file.seek(0, 2):
            raise MediaEmpty(name)
        file.seek(0)
        return file


class Opener:
    """Makes sources of rows. A context manager: at its end nothing is fetched any more."""

    def __init__(
        self,
        fetch: Callable[[str, str], BinaryIO] | None = None,
        decode: Callable[[Row], Held | None] = lambda _row: None,
    ) -> None:
        """`fetch(uri, name)`: a file of an object; None takes `remote.fetch`. `decode`: see above; None: not it."""
        self._fetch, self._decode = fetch, decode
        self._threads: ThreadPoolExecutor | None = None

    def sources(self, rows: Iterable[Row]) -> Iterator[tuple[Row, MediaSource]]:
        """Each row with its source, in order."""
        held: list[tuple[Row, MediaSource]] = []
        for row in rows:
            held.append((row, self._source(row)))
            if len(held) > AHEAD or held[0][1].held is None:
                yield held.pop(0)
        yield from held

    def _source(self, row: Row) -> MediaSource:
        decoding = self._decode(row)
        if decoding is not None:
            return MediaSource(printable(row.name), held=decoding)
        if not is_remote(row.uri):
            return MediaSource.from_path(path_of(row.uri))
        if self._threads is None:
            self._threads = ThreadPoolExecutor(AHEAD, "fetch")
        name = printable(row.name)
        return MediaSource(name, held=_Fetched(self._threads.submit(self._fetched, row.uri, name)))

    def _fetched(self, uri: str, name: str) -> BinaryIO:
        if self._fetch is None:
            from autorag_whisper.archive.sharded.remote import fetch

            self._fetch = fetch
        return self._fetch(uri, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

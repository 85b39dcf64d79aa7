"""A line of JSON for each request: who asked for what, and what came of it; never what was said.

Lines are written by a thread of their own. Where nobody takes them (a pipe that is not read, a full disk) they are
dropped and counted: no request waits for its line. A file is opened for each burst of lines, so it may be renamed.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

_MOST_WAITING, _MOST_AT_ONCE = 10_000, 1_000
_END_S = 5.0


def to_standard_output(text: str) -> None:
    """Write there, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def to_file(path: Path) -> Callable[[str], None]:
    """Add to a file, which is made where it is missing."""

    def write(text: str) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)

    return write


class AccessLog:
    """`write` is given whole lines, in its thread. A context manager: at its end what waits is written."""

    def __init__(self, write: Callable[[str], None], on_dropped: Callable[[int], None]) -> None:
        self._write, self._on_dropped = write, on_dropped
        self._lines: queue.Queue[str | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="autorag-whisper-access-log", daemon=True)

    def tell(self, entry: Mapping[str, object]) -> None:
        """One line more. Never waits."""
        try:
            self._lines.put_nowait(json.dumps(entry, ensure_ascii=False) + "\n")
        except queue.Full:
            self._on_dropped(1)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._lines.put(None, timeout=_END_S)
        except queue.Full:
            return  # nobody takes them
        self._thread.join(_END_S)

    def _run(self) -> None:
        line: str | None = ""
        while line is not None:
            line, lines = self._lines.get(), list[str]()
            while line is not None:
                lines.append(line)
                if len(lines) >= _MOST_AT_ONCE:
                    break
                try:
                    line = self._lines.get_nowait()
                except queue.Empty:
                    break
            if lines:
                self._put(lines)

    def _put(self, lines: list[str]) -> None:
        try:
            self._write("".join(lines))
        except (OSError, ValueError):  # nobody reads it; the disk is full; it was closed
            self._on_dropped(len(lines))

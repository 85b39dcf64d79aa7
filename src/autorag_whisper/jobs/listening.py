"""Recordings of jobs as samples, for whoever looks or listens: decoded once, kept as 16 kHz, read from any place.

Their timeline is the recogniser's, as the same decoder makes it: a place in a compressed file that is sought would not
be. `audio/ID.wav` is mono signed 16 bit, which every browser plays; `audio/ID.peaks` is what is drawn of it. Both are
made anew where they are gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.isolation.decoder import open_decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from autorag_whisper.domain.decoding import DecodingLimits
    from autorag_whisper.jobs.job import Job

MOST_PEAKS, PEAKS_PER_S = 20_000, 50
MOST_KEPT_BYTES = 2 << 30
"""Of samples; what was not asked for the longest is removed first. An hour has 115 MB."""
_FULL = 100
_AT_ONCE = SAMPLE_RATE_HZ * 60
_HEADER_BYTES = 44


@dataclass(frozen=True, slots=True)
class Peaks:
    """The loudest sample, 0..100, of each stretch; `per_second` of them."""

    duration_s: float
    per_second: float
    values: tuple[int, ...]


class Listening:
    """Thread-safe; one at a time decodes one recording, others wait for it. `folder` is made.

    `media`: where the recording of a job is.
    """

    def __init__(self, folder: Path, media: Callable[[Job], Path], most_bytes: int = MOST_KEPT_BYTES) -> None:
        self.folder, self._media, self._most_bytes = folder, media, most_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._making: dict[str, threading.Lock] = {}

    def samples(self, job: Job, decoding: DecodingLimits, span: tuple[float, float]) -> NDArray[np.int16]:
        """The samples of a recording from second to second, as far as it has them: int16[samples].

        Raises the Media* errors, OSError.
        """
        path = self._kept(job, decoding)
        first, stop = (max(0, round(second * SAMPLE_RATE_HZ)) for second in span)
        with path.open("rb") as file:
            os.utime(path)
            size = (file.seek(0, os.SEEK_END) - _HEADER_BYTES) // 2
            first, stop = min(first, size), min(stop, size)
            file.seek(_HEADER_BYTES + 2 * first)
            return np.frombuffer(file.read(2 * (stop - first)), np.int16)

    def wav(self, job: Job, decoding: DecodingLimits) -> Path:
        """The whole recording as a WAV file, until room is made. Raises the Media* errors, OSError."""
        path = self._kept(job, decoding)
        os.utime(path)
        return path

    def peaks(self, job: Job, decoding: DecodingLimits) -> Peaks:
        """What is drawn of a recording. Raises the Media* errors, OSError."""
        path = self._place(job.id, "peaks")
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads(path.read_text(encoding="utf-8"))
            return Peaks(told["duration_s"], told["per_second"], tuple(told["values"]))
        found = _peaks_of(self._kept(job, decoding))
        body = {"duration_s": found.duration_s, "per_second": found.per_second, "values": found.values}
        with _replacing(path) as file:
            file.write(json.dumps(body).encode())
        return found

    def is_kept(self, job_id: str) -> bool:
        """Whether a recording was decoded, and what was made of it is there still."""
        return self._place(job_id, "wav").exists()

    def remove(self, job_id: str) -> None:
        """What is kept of a job's recording."""
        for kind in ("wav", "peaks"):
            self._place(job_id, kind).unlink(missing_ok=True)

    def _place(self, job_id: str, kind: str) -> Path:
        return self.folder / f"{job_id}.{kind}"

    def _kept(self, job: Job, decoding: DecodingLimits) -> Path:
        path = self._place(job.id, "wav")
        with self._lock:
            lock = self._making.setdefault(job.id, threading.Lock())
        try:
            with lock:
                if not path.exists():
                    self._decode(job, decoding, path)
                    self._make_room(path)
        finally:
            with self._lock:
                if not lock.locked():
                    self._making.pop(job.id, None)
        return path

    def _decode(self, job: Job, decoding: DecodingLimits, path: Path) -> None:
        asked = TranscribeOptions(**job.request.options)
        source = MediaSource.from_path(self._media(job))
        source = MediaSource(job.request.name, path=source.path).isolated(decoding)
        with open_decoder(source, asked) as decoder, _replacing(path) as file:
            file.write(bytes(_HEADER_BYTES))
            for block in decoder:
                file.write((np.clip(block, -1.0, 1.0) * 32767.0).round().astype("<i2").tobytes())
            size = file.tell() - _HEADER_BYTES
            file.seek(0)
            file.write(_header(size))

    def _make_room(self, but: Path) -> None:
        found: dict[Path, os.stat_result] = {}
        for path in self.folder.glob("*.wav"):
            with contextlib.suppress(FileNotFoundError):  # another thread has removed it
                found[path] = path.stat()
        there = sum(status.st_size for status in found.values())
        for path in sorted(found, key=lambda path: found[path].st_mtime):
            if there <= self._most_bytes:
                return
            if path != but:
                path.unlink(missing_ok=True)
                there -= found[path].st_size


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Any]:
    """A file that has its name once it is whole, and is nowhere if that fails."""
    new = path.with_name(f".{uuid.uuid4().hex}")
    try:
        with new.open("xb") as file:
            yield file
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _header(size: int) -> bytes:
    """Of a WAV file with so many bytes of samples; 4 GiB, 37 hours, is the most that it can say."""
    told = min(size, 0xFFFFFFFF - _HEADER_BYTES)
    rate = SAMPLE_RATE_HZ
    form = (b"RIFF", told + _HEADER_BYTES - 8, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", told)
    return struct.pack("<4sI4s4sIHHIIHH4sI", *form)


def _peaks_of(path: Path) -> Peaks:
    size = (path.stat().st_size - _HEADER_BYTES) // 2
    duration_s = size / SAMPLE_RATE_HZ
    count = max(1, min(MOST_PEAKS, round(duration_s * PEAKS_PER_S)))
    edges = np.linspace(0, size, count + 1).astype(np.int64)
    loudest = np.zeros(count, np.int64)
    with path.open("rb") as file:
        file.seek(_HEADER_BYTES)
        for first in range(0, size, _AT_ONCE):
            block = np.abs(np.frombuffer(file.read(2 * _AT_ONCE), "<i2").astype(np.int32))
            owners = np.searchsorted(edges, np.arange(first, first + len(block)), side="right") - 1
            np.maximum.at(loudest, np.minimum(owners, count - 1), block)
    values = tuple(int(one) for one in (loudest * _FULL // 32767))
    return Peaks(duration_s, count / duration_s if duration_s else 0.0, values)

"""Whether a stream carries any sound, so that a silent one is not transcribed without a word about the others."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import av.error
import numpy as np

from autorag_whisper.audio.container import audio_streams, open_another
from autorag_whisper.audio.frames import pieces
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.domain.interruptions import let_signals_through

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from autorag_whisper.audio.container import Opened
    from autorag_whisper.audio.links import Window
    from autorag_whisper.domain.audio import AudioTrack

_LOUD = 10 ** (-50 / 20)
"""Below, nobody would hear somebody speak; dither, hum and the hiss of an open input stay below."""

_STEP_S = 0.1
_SILENT_SHARE = 0.02
"""A click does not make a sound track of a silent one."""

_LISTEN_S = 600.0
"""How much of another stream is decoded at most to find sound in it."""

_ENOUGH_S = 1.0


class Loudness:
    """Counts how much of a stream is loud, in steps of at most 0.1 s. Push blocks of any length."""

    def __init__(self) -> None:
        self.loud_s = self.total_s = 0.0

    def push(self, block: NDArray[np.float32], rate_hz: int = SAMPLE_RATE_HZ) -> None:
        """float32[..., n], n > 0."""
        step = max(1, round(_STEP_S * rate_hz))
        starts = np.arange(0, block.shape[-1], step)
        peaks = np.maximum.reduceat(np.abs(block), starts, axis=-1)
        lengths = np.diff(starts, append=block.shape[-1]) / rate_hz
        self.loud_s += float(lengths[peaks.reshape(-1, len(starts)).max(axis=0) >= _LOUD].sum())
        self.total_s += block.shape[-1] / rate_hz

    @property
    def is_silent(self) -> bool:
        """Whether next to nothing could be heard so far."""
        return self.loud_s <= _SILENT_SHARE * self.total_s


def tracks_with_sound(file: Window, name: str, opened: Opened) -> Iterator[AudioTrack]:
    """Which streams of a recording, besides the chosen one, carry sound in their first ten minutes."""
    for track in opened.info.tracks:
        if track.number != opened.info.audio_stream and _has_sound(file, name, opened, track):
            yield track


def _has_sound(file: Window, name: str, opened: Opened, track: AudioTrack) -> bool:
    streams = audio_streams(opened.container)
    index = streams[track.number].index
    window = file.part(file.start, file.stop)
    other = open_another(window.as_file(), name, lambda found: next((s for s in found if s.index == index), None))
    if other is None:
        return False
    loudness = Loudness()
    with closing(other.container):
        try:
            for frame in other.container.decode(other.stream):
                for piece in pieces(frame):
                    loudness.push(piece.pcm, piece.rate_hz)
                if loudness.total_s > _LISTEN_S or loudness.loud_s > _ENOUGH_S:
                    break
        except (av.error.FFmpegError, OSError, ValueError) as error:
            let_signals_through(error)
    return loudness.loud_s > _ENOUGH_S or not loudness.is_silent

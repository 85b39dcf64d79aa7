"""Looking at the samples of an open container in many places, before it is decoded from the beginning."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, cast

import av.error

from autorag_whisper.audio.frames import raw_rows
from autorag_whisper.audio.scale import Scale, measure
from autorag_whisper.domain.interruptions import let_signals_through

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy as np
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from numpy.typing import NDArray

PLACES, LEADING_FRAMES = 48, 16


def float_scale(container: InputContainer, stream: AudioStream) -> Scale:
    """The scale of uncompressed floats in `stream`. Moves the container's position: it is good for nothing else."""
    windows = list(_frames(container, stream, LEADING_FRAMES))
    duration = stream.duration or 0
    if not duration and container.duration and stream.time_base:
        duration = int(container.duration / 1e6 / stream.time_base)
    for place in range(1, PLACES if duration > 0 else 0):
        try:
            container.seek((stream.start_time or 0) + duration * place // PLACES, stream=stream)
        except (av.error.FFmpegError, OSError) as error:
            let_signals_through(error)
            break
        windows += _frames(container, stream, 1)
    return measure(windows)


def _frames(container: InputContainer, stream: AudioStream, count: int) -> list[NDArray[np.floating]]:
    found: list[NDArray[np.floating]] = []
    try:
        with closing(cast("Generator[Packet[AudioStream]]", container.demux(stream))) as packets:
            for packet in packets:
                found += [raw_rows(frame).ravel() for frame in packet.decode()]
                if len(found) >= count:
                    break
    except (av.error.FFmpegError, OSError, ValueError) as error:
        let_signals_through(error)
        return found  # what is damaged says nothing here; decoding will tell
    return found

"""A decoder process from its fork to its end: one task, then it is over."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from typing import BinaryIO, NoReturn

import numpy as np

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.faults import fault_of
from autorag_whisper.audio.memory import MemoryFile
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.decoding import CPU_PER_AUDIO, FIRST_CPU_S
from autorag_whisper.domain.errors import MediaError
from autorag_whisper.domain.media_errors import DecoderDied, MediaOverLimit
from autorag_whisper.isolation import confinement
from autorag_whisper.isolation.messages import (
    END,
    ERROR,
    INFO,
    SAMPLES,
    End,
    Info,
    Task,
    end_json,
    error_json,
    info_json,
    is_known,
    send,
)

_TASK_BYTES = 1 << 16
_BUFFER_BYTES = 1 << 16
_FIRST_FREE = 3
"""The first descriptor that is none of the standard streams."""


class Region(MemoryFile):
    """Bytes [start, start + size) of an open file, read by position."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        super().__init__(size)
        self._descriptor, self._start = descriptor, start

    def _copy(self, target: memoryview) -> int:
        data = os.pread(self._descriptor, len(target), self._start + self._at)
        target[: len(data)] = data
        return len(data)


Decode = Callable[[Task, BinaryIO, socket.socket], None]
"""Does a task: the media, and where the answer goes. In here, what is not told by an error is told by the exit."""


def serve_one(line: socket.socket, mapped_bytes: int, decode: Decode) -> None:
    """Wait for the task that comes on `line`, give up everything else, do it."""
    data, descriptors, _, _ = socket.recv_fds(line, _TASK_BYTES, 2)
    if len(descriptors) != 2:
        return  # the fork server is gone
    line.close()
    media, out = descriptors
    task = Task.from_json(data)
    confinement.confine(task.limits, mapped_bytes, FIRST_CPU_S)
    with socket.socket(fileno=out) as answer:
        decode(task, io.BufferedReader(Region(media, task.start, task.size), _BUFFER_BYTES), answer)


def decode(task: Task, file: BinaryIO, answer: socket.socket) -> None:
    """Decode, and tell all of it."""
    try:
        error = _decode(task, file, answer)
    except (BrokenPipeError, ConnectionError):  # nobody listens any more
        return
    except MemoryError:
        error = MediaOverLimit(task.name, f"decoding it takes more than {task.limits.memory_mb} MiB of memory")
    except Exception as failure:  # noqa: BLE001 - an edge: whatever it is, the reader is told
        fault = fault_of(failure, task.name)
        error = fault if isinstance(fault, MediaError) else DecoderDied(task.name, type(failure).__name__)
    if error is not None:
        told = error if is_known(error) else DecoderDied(task.name, type(error).__name__)
        send(answer, ERROR, error_json(told))


def _decode(task: Task, file: BinaryIO, answer: socket.socket) -> MediaError | None:
    audio_s = allowed_s = 0.0
    try:
        with MediaDecoder(
            file, task.name, audio_stream=task.audio_stream, max_duration_s=task.max_duration_s, limits=task.limits
        ) as decoder:
            send(answer, INFO, info_json(Info(decoder.info, decoder.expected_duration_s)))
            for block in decoder:
                send(answer, SAMPLES, block.data.cast("B"))
                audio_s += len(block) / 16_000
                if audio_s - allowed_s > 60:
                    allowed_s = audio_s
                    confinement.allow_cpu(FIRST_CPU_S + CPU_PER_AUDIO * audio_s)
            send(answer, END, end_json(End(decoder.damage, decoder.notes)))
    except MediaError as error:
        return error
    return None


def rehearse() -> None:
    """Decode a little noise: modules are imported then, and a fork has pages of its own before anybody waits for it."""
    noise = np.random.default_rng(1).standard_normal((12_000, 2)).astype(np.float32) * np.float32(0.1)
    source = MediaSource.from_samples(noise, 48_000)
    with closing(source.open()) as file, MediaDecoder(file, "noise.wav") as decoder:
        for _ in decoder:
            pass


def run(line: socket.socket, mapped_bytes: int, decode: Decode, *, in_advance: bool) -> NoReturn:
    """The life of a process that was just forked, `in_advance`: nobody waits for it yet. Never comes back."""
    code = 1
    try:
        _close_all_but(line.fileno())
        confinement.go_first()
        if in_advance:
            rehearse()
        serve_one(line, mapped_bytes, decode)
        code = 0
    finally:
        os._exit(code)  # nothing of the fork server's is to be ended here


def _close_all_but(kept: int) -> None:
    """Of what the fork server has open, and this process inherited."""
    for descriptor in [int(name) for name in os.listdir("/proc/self/fd")]:  # noqa: PTH208 - the kernel's list
        if descriptor >= _FIRST_FREE and descriptor != kept:
            with suppress(OSError):  # the list's own
                os.close(descriptor)

"""Steps 1 to 4 of a file's life: opened, decoded, listened to, cut into chunks. Lazy, in memory of fixed size."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.audio.chunking import Chunker
from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.highpass import HighPass

if TYPE_CHECKING:
    from collections.abc import Generator

    from autorag_whisper.audio.chunking import ChunkingRules
    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.audio import Samples, SpeechChunk
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.engines.base import VoiceActivity


LONG_FILE_S = 60.0
"""Files that are longer have a short first chunk."""


class Reader:
    """One file as speech chunks. One pass, one thread; `close` frees everything at any time.

    The constructor opens the file; it and `steps` raise the Media* errors.
    """

    def __init__(
        self, source: MediaSource, options: TranscribeOptions, voice: VoiceActivity, rules: ChunkingRules
    ) -> None:
        with ExitStack() as stack:
            file = stack.enter_context(source.open())
            self.decoder = stack.enter_context(
                MediaDecoder(
                    file, source.name, audio_stream=options.audio_stream, max_duration_s=options.max_duration_s
                )
            )
            self._open = stack.pop_all()
        self._voice, self._high_pass = voice.stream(), HighPass()
        self._chunker = Chunker(rules if self._is_long else replace(rules, first_chunk_s=None))

    @property
    def _is_long(self) -> bool:
        """Whether its first words would let wait: where the header says nothing, or it may be a live stream."""
        expected_s = self.decoder.expected_duration_s
        return expected_s is None or expected_s > LONG_FILE_S

    def steps(self) -> Generator[list[SpeechChunk]]:
        """For every block of audio the chunks that it closed, most often none; each step takes milliseconds."""
        for block in self.decoder:
            yield list(self._chunker.push(block, self._voice.push(self._high_pass.push(block))))
        last = list(self._chunker.push(_nothing(), self._voice.finish()))
        yield last + list(self._chunker.finish())

    @property
    def judged_s(self) -> float:
        """Everything before it is in a chunk that has left, or will be in none."""
        return self._chunker.judged_s

    def close(self) -> None:
        """Close the file and its decoder. Again is fine."""
        self._open.close()


def _nothing() -> Samples:
    return np.zeros(0, np.float32)

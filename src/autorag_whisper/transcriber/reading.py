"""Steps 1 to 4 of a file's life: opened, decoded, listened to, cut into chunks. Lazy, in memory of fixed size."""

from __future__ import annotations

import math
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from autorag_whisper.audio.chunking import Chunker, ChunkingRules, GaplessChunker
from autorag_whisper.audio.highpass import HighPass
from autorag_whisper.audio.narrow_band import BandExtension
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechSpan, seconds
from autorag_whisper.domain.clips import Clip
from autorag_whisper.isolation.decoder import open_decoder

if TYPE_CHECKING:
    from collections.abc import Generator

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.audio import Samples, SpeechChunk
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.engines.base import RecognizerSpec, VoiceActivity, VoiceActivityStream


FIRST_CHUNK_S = 8.0
"""Audio in the first chunk of a long file, at most: what the shortest window holds."""

SWITCHING = ChunkingRules(min_chunk_s=3.0, pause_s=0.7, max_chunk_s=15.0)
"""Short chunks, cut at short pauses: whoever changes the language does so between two sentences."""

LONG_FILE_S = 60.0
"""Files that are longer have a short first chunk."""


class ReadSoFar(NamedTuple):
    """How far a file is read, in seconds: decoded, judged (as `Reader.judged_s`), and expected by its header."""

    audio_s: float
    judged_s: float
    expected_s: float | None


class Reader:
    """One file as speech chunks. One pass, one thread; `close` frees everything at any time.

    The constructor opens the file; it and `steps` raise the Media* errors. `is_through`: that step is the last.
    """

    def __init__(
        self, source: MediaSource, options: TranscribeOptions, voice: VoiceActivity, rules: ChunkingRules
    ) -> None:
        with ExitStack() as stack:
            self.decoder = stack.enter_context(open_decoder(source, options))
            self._open = stack.pop_all()
        self._options, self._voice, self._rules = options, voice, rules
        if not self._is_long:
            self._rules = replace(rules, first_chunk_s=None)
        self._clips = [_bounds(clip) for clip in options.clips] or [(0, sys.maxsize)]
        self._part: _Part | None = None
        self._chunks = 0
        self.is_through = False

    @property
    def _is_long(self) -> bool:
        """Whether its first words would let wait: where the header says nothing, or it may be a live stream."""
        expected_s = self.decoder.expected_duration_s or math.inf
        clips = self._options.clips or (Clip(0.0),)
        return sum(max(0.0, min(clip.end_s, expected_s) - clip.start_s) for clip in clips) > LONG_FILE_S

    @property
    def judged_s(self) -> float:
        """Everything before it is in a chunk that has left, or will be in none."""
        return self._part.judged_s if self._part is not None else seconds(self.decoder.samples_out)

    @property
    def so_far(self) -> ReadSoFar:
        """How far it is read now."""
        return ReadSoFar(seconds(self.decoder.samples_out), self.judged_s, self.decoder.expected_duration_s)

    def steps(self) -> Generator[list[SpeechChunk]]:
        """For every block of audio the chunks that it closed, most often none; each step takes milliseconds."""
        at = 0
        for block in self.decoder:
            yield self._hear(block, at)
            at += len(block)
        self.is_through = True
        yield self._end(self._part) if self._part is not None else []

    def _hear(self, block: Samples, at: int) -> list[SpeechChunk]:
        """What the clips have of `block`, whose first sample is `at`; the rest is dropped."""
        found: list[SpeechChunk] = []
        end = at + len(block)
        while self._clips and self._clips[0][0] < end:
            start, stop = self._clips[0]
            part = self._part = self._part or self._begin(start)
            found += part.push(block[max(0, start - at) : stop - at])
            if stop > end:
                break
            self._clips.pop(0)
            found += self._end(part)
        return found

    def _begin(self, start: int) -> _Part:
        chunker = (Chunker if self._options.vad else GaplessChunker)(self._rules)
        self._rules = replace(self._rules, first_chunk_s=None)
        return _Part(start, self._chunks, self._voice.stream(), chunker)

    def _end(self, part: _Part) -> list[SpeechChunk]:
        last = part.finish()
        self._part, self._chunks = None, part.chunks
        return last

    def close(self) -> None:
        """Close the file and its decoder. Again is fine."""
        self._open.close()


class _Part:
    """A clip, or the whole: heard as if it were a file of its own, with the times of the file that it is part of."""

    def __init__(self, start: int, chunks: int, voice: VoiceActivityStream, chunker: Chunker) -> None:
        """`start`: its first sample; `chunks`: how many the clips before it had."""
        self.chunks = chunks
        self._start, self._voice, self._chunker = start, voice, chunker
        self._extension, self._high_pass = BandExtension(), HighPass()

    @property
    def judged_s(self) -> float:
        """As the reader's."""
        return seconds(self._start) + self._chunker.judged_s

    def push(self, block: Samples) -> list[SpeechChunk]:
        """The next samples of it."""
        probabilities = self._voice.push(self._high_pass.push(self._extension.push(block)))
        return [self._placed(chunk) for chunk in self._chunker.push(block, probabilities)]

    def finish(self) -> list[SpeechChunk]:
        """What is left at its end."""
        last = [*self._chunker.push(np.zeros(0, np.float32), self._voice.finish()), *self._chunker.finish()]
        return [self._placed(chunk) for chunk in last]

    def _placed(self, chunk: SpeechChunk) -> SpeechChunk:
        """`chunk` with its place in the file."""
        index, self.chunks = self.chunks, self.chunks + 1
        speech = tuple(SpeechSpan(s.start + self._start, s.stop + self._start, s.sure) for s in chunk.speech)
        return replace(chunk, index=index, start=chunk.start + self._start, speech=speech)


def _bounds(clip: Clip) -> tuple[int, int]:
    """Its samples, [start, stop)."""
    start = round(clip.start_s * SAMPLE_RATE_HZ)
    return start, sys.maxsize if math.isinf(clip.end_s) else max(start + 1, round(clip.end_s * SAMPLE_RATE_HZ))


def chunking_rules(spec: RecognizerSpec, options: TranscribeOptions) -> ChunkingRules:
    """How speech is packed: no short first chunk where every window costs what the full one does."""
    full_window = spec.strict_window or options.effort.full_window
    rules = SWITCHING if options.code_switching else ChunkingRules(first_chunk_s=None if full_window else FIRST_CHUNK_S)
    return replace(
        rules,
        threshold=options.vad_threshold,
        min_speech_s=options.vad_min_speech_s,
        min_silence_s=options.vad_min_silence_s,
        pad_s=options.vad_pad_s,
        unclear_pad_s=max(rules.unclear_pad_s, options.vad_pad_s),
    )

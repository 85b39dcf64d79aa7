"""One file of a run: what was read of it, what waits, what came back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from autorag_whisper.device.fallback_steps import Step
from autorag_whisper.domain.audio import seconds
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.transcriber.outcome import Progress
from autorag_whisper.transcriber.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from autorag_whisper.audio.chunking import ChunkingRules
    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import DeviceFallbackStep, Segment
    from autorag_whisper.engines.base import VoiceActivity
    from autorag_whisper.recognition.border_hearing import Border
    from autorag_whisper.recognition.chunk_result import ChunkResult
    from autorag_whisper.recognition.language import LanguageChoice
    from autorag_whisper.transcriber.assembly import Assembly
    from autorag_whisper.transcriber.checkpoint import Supervised

_MORE_S = 10.0


@dataclass(slots=True)
class Moments:
    """When a file's stages began and ended: nanoseconds since the epoch, 0 while they have not."""

    opened: int = 0
    decoded: int = 0
    submitted: int = 0
    aligned_from: int = 0
    finished: int = 0


@dataclass(slots=True)
class RunFile:
    """State of one file, in the thread that owns the run.

    `voting`: its language is unsure and waits until `VOTING_CHUNKS` chunks, or all that there are, can vote.
    """

    index: int
    source: MediaSource
    assembly: Assembly
    language: str | None
    moments: Moments = field(default_factory=Moments)
    reader: Reader | None = None
    chunks_read: int = 0
    decoded: bool = False
    voting: bool = False
    over: bool = False
    batch_size: int = 0
    batch_size_since: int = 0  # since the last step of the device fallback
    hearing: Border | None = None  # that was handed to a worker
    methods: set[WordSource] = field(default_factory=set)
    letters: set[str] = field(default_factory=set)  # who found them
    _steps: Generator[list[SpeechChunk]] | None = None
    _starts_s: deque[float] = field(default_factory=deque)  # of the chunks that are read and not assembled

    def open(self, options: TranscribeOptions, voice: VoiceActivity, rules: ChunkingRules) -> None:
        """Open the file. Raises the Media* errors."""
        self.reader = Reader(self.source, options, voice, rules)
        self._steps = self.reader.steps()

    def read(self) -> list[SpeechChunk]:
        """Read a block; the chunks that it closed. Sets `decoded` at the end. Raises the Media* errors."""
        assert self._steps is not None
        chunks = next(self._steps, None)
        if chunks is None:
            self.decoded = True
            self.close()
            return []
        self.chunks_read += len(chunks)
        self._starts_s.extend(chunk.start_s for chunk in chunks)
        return chunks

    def fell_back(self, step: DeviceFallbackStep) -> None:
        """A step of the device fallback was taken while it was at work. That others had the card is told once."""
        if step.step == Step.BUSY and step in self.assembly.steps:
            return
        self.assembly.steps.append(step)
        self.batch_size_since = 0

    def close(self) -> None:
        """Free what reading needs; the decoder's facts stay."""
        if self._steps is not None:
            self._steps.close()
        if self.reader is not None:
            self.reader.close()

    def speak(self, choice: LanguageChoice) -> None:
        """The language was found."""
        self.language = choice.code
        self.assembly.language, self.assembly.language_probability = choice.code, choice.probability
        self.assembly.track.begin(choice.code)
        self.voting = False

    def goes_on_behind(self, chunk: SpeechChunk) -> bool:
        """Whether other chunks of it can be asked for its language, as far as its header says."""
        assert self.reader is not None
        total_s = self.reader.decoder.expected_duration_s
        return total_s is None or total_s - seconds(chunk.stop) > _MORE_S

    @property
    def method(self) -> str:
        """The aligners of its chunks, from the best down, with "+" between them; "none" where nobody spoke."""
        return "+".join(source.value for source in WordSource if source in self.methods) or "none"

    @property
    def is_complete(self) -> bool:
        """Whether every chunk's result has been assembled."""
        return self.decoded and self.assembly.chunks_done == self.chunks_read

    @property
    def progress(self) -> Progress:
        """How far it is: up to the first chunk that waits for its result, or to where voice activity has judged."""
        assert self.reader is not None
        while len(self._starts_s) > self.chunks_read - self.assembly.chunks_done:
            self._starts_s.popleft()
        read_s = seconds(self.reader.decoder.samples_out)
        judged_s = read_s if self.decoded else min(self.reader.judged_s, read_s)
        expected_s = self.reader.decoder.expected_duration_s
        total_s = read_s if self.decoded else max(expected_s, read_s) if expected_s else None
        return Progress(self.source, min([judged_s, *islice(self._starts_s, 1)]), total_s)


def segments_of(
    file: RunFile, result: ChunkResult | None, supervised: Supervised | None, heard: str | None = None
) -> Iterator[Segment]:
    """The segments that are next in order with a chunk's result, or with what was `heard` across a border.

    Whoever wants to know is told whose they are. Without either: the one that waited for another chunk.
    """
    on_segment, assembly = supervised.on_segment if supervised is not None else None, file.assembly
    found = assembly.settle(heard) if heard is not None else assembly.add(result) if result else assembly.finish()
    for segment in found:
        if on_segment is not None:
            on_segment(file.source, segment)
        yield segment

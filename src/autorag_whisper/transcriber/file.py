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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.transcript import DeviceFallbackStep
    from autorag_whisper.isolation.decoder import Decoder
    from autorag_whisper.recognition.border_hearing import Border
    from autorag_whisper.recognition.language import LanguageChoice
    from autorag_whisper.transcriber.assembly import Assembly
    from autorag_whisper.transcriber.checkpoint import Checkpoint
    from autorag_whisper.transcriber.reading import ReadSoFar

_MORE_S = 10.0


@dataclass(slots=True)
class Moments:
    """When a file's stages began and ended: nanoseconds since the epoch, 0 while they have not."""

    opened: int = 0
    decoded: int = 0
    submitted: int = 0
    aligned_from: int = 0
    finished: int = 0


@dataclass(slots=True, eq=False)
class RunFile:
    """State of one file, in the thread of its run's scheduler.

    `key` tells the files of a scheduler apart, `index` counts those of the run. `finished`: chunks that an earlier run
    has done. `voting`: its language is unsure and waits until `VOTING_CHUNKS` chunks, or all that there are, can vote.
    `decoder`: what is known of the media, once all of it is decoded.
    """

    key: int
    index: int
    source: MediaSource
    assembly: Assembly
    language: str | None
    checkpoints: Mapping[int, Checkpoint] = field(default_factory=dict)
    moments: Moments = field(default_factory=Moments)
    read: ReadSoFar | None = None
    decoder: Decoder | None = None
    chunks_read: int = 0
    voting: bool = False
    batch_size: int = 0
    batch_size_since: int = 0  # since the last step of the device fallback
    hearing: Border | None = None  # that was handed to a worker
    methods: set[WordSource] = field(default_factory=set)
    letters: set[str] = field(default_factory=set)  # who found them
    _starts_s: deque[float] = field(default_factory=deque)  # of the chunks that are read and not assembled

    def take(self, chunks: Sequence[SpeechChunk], read: ReadSoFar, decoder: Decoder | None = None) -> None:
        """The next chunks that were read of it; `decoder` with the last ones."""
        self.read, self.decoder = read, decoder
        self.chunks_read += len(chunks)
        self._starts_s.extend(chunk.start_s for chunk in chunks)

    @property
    def decoded(self) -> bool:
        """Whether all of it was read."""
        return self.decoder is not None

    def fell_back(self, step: DeviceFallbackStep) -> None:
        """A step of the device fallback was taken while it was at work. That others had the card is told once."""
        if step.step == Step.BUSY and step in self.assembly.steps:
            return
        self.assembly.steps.append(step)
        self.batch_size_since = 0

    def speak(self, choice: LanguageChoice) -> None:
        """The language was found."""
        self.language = choice.code
        self.assembly.language, self.assembly.language_probability = choice.code, choice.probability
        self.assembly.track.begin(choice.code)
        self.voting = False

    def goes_on_behind(self, chunk: SpeechChunk) -> bool:
        """Whether other chunks of it can be asked for its language, as far as its header says."""
        total_s = self.read.expected_s if self.read is not None else None
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
        assert self.read is not None
        while len(self._starts_s) > self.chunks_read - self.assembly.chunks_done:
            self._starts_s.popleft()
        read_s, expected_s = self.read.audio_s, self.read.expected_s
        judged_s = read_s if self.decoded else min(self.read.judged_s, read_s)
        total_s = read_s if self.decoded else max(expected_s, read_s) if expected_s else None
        return Progress(self.source, min([judged_s, *islice(self._starts_s, 1)]), total_s)

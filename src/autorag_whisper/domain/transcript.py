"""What comes out: words with times, segments, and what is known about how they were found."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from autorag_whisper.domain.audio import MediaDamage, MediaInfo
from autorag_whisper.domain.errors import InvalidOption

if TYPE_CHECKING:
    from autorag_whisper.domain.clips import Clip
    from autorag_whisper.domain.notes import Note


class WordSource(StrEnum):
    """The aligner that found a word's time; `interpolated` when none could.

    `characters`: by the letters of the text, heard in the encoder's output or seen by the decoder's attention.
    """

    CTC = "ctc"
    CHARACTERS = "characters"
    TOKENS = "tokens"
    INTERPOLATED = "interpolated"


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its punctuation attached and no outer whitespace, on the file's timeline.

    `probability` is the recogniser's (0..1); `score` is the aligner's confidence in the time (0..1), None where the
    aligner gives none. `space_before` is False inside scripts that are written without spaces, so that joining words
    restores the text.
    """

    text: str
    start_s: float
    end_s: float
    probability: float
    source: WordSource = WordSource.TOKENS
    score: float | None = None
    space_before: bool = True

    def __post_init__(self) -> None:
        if not self.text or self.text != self.text.strip():
            raise InvalidOption("word", self.text, "text without outer whitespace")
        if not (0 <= self.start_s <= self.end_s and math.isfinite(self.end_s)):
            raise InvalidOption("word times", (self.start_s, self.end_s), "finite seconds, 0 <= start <= end")
        if not 0 <= self.probability <= 1:
            raise InvalidOption("word probability", self.probability, "a number from 0 to 1")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One decoding of a chunk: at which temperature, beam and window, and why it was not enough ("" if it was)."""

    temperature: float
    beam_size: int
    window_frames: int
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    rejected_for: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence or a piece of one: consecutive words, with the figures of the chunk they were decoded in.

    `seek_s` is the start of that chunk. `token_ids` are the text tokens of these words.
    """

    index: int
    start_s: float
    end_s: float
    text: str
    words: tuple[Word, ...]
    language: str
    seek_s: float = 0.0
    token_ids: tuple[int, ...] = ()
    avg_logprob: float = 0.0
    compression_ratio: float = 1.0
    no_speech_prob: float = 0.0
    temperature: float = 0.0
    attempts: tuple[Attempt, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.start_s <= self.end_s:
            raise InvalidOption("segment times", (self.start_s, self.end_s), "0 <= start <= end")


@dataclass(frozen=True, slots=True)
class RejectedText:
    """Text that was decoded but not accepted as speech, with the documented rule that rejected it."""

    start_s: float
    end_s: float
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hole:
    """A stretch between two words, or in which no text was accepted, with `speech_s` seconds of sure speech."""

    start_s: float
    end_s: float
    speech_s: float


@dataclass(frozen=True, slots=True)
class LanguageShare:
    """How much of the speech is in a language, in seconds.

    `recognised_s`: speech that was transcribed in it. `heard_s`: speech whose sound clearly is in it; for short, faint
    or sung speech no language may be clear. An English-only model cannot tell languages: `heard_s` is then 0.
    """

    language: str
    recognised_s: float
    heard_s: float


@dataclass(frozen=True, slots=True)
class Unspoken:
    """A stretch between two words in which somebody speaks and no word of the text is heard: "um", a word said twice,
    what the recogniser left out."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """Seconds of speech that voice activity found (`speech_s`), and how many of those have words and how many do not.

    `skipped_s` is the speech in `holes`. A hole is half a second or more of speech between two words, or a third of a
    second with a pause on both sides, for whatever reason it has no words. Speech that only the second look of voice
    activity found (`SpeechSpan.sure` is False) is counted only if its text was accepted.
    """

    speech_s: float = 0.0
    transcribed_s: float = 0.0
    skipped_s: float = 0.0
    holes: tuple[Hole, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceFallbackStep:
    """One step of the device fallback that a job took: from where to where, at which stage, and for what cause.

    `step`: `halve_batch`, `free_others`, `compute_type`, `cpu` or `busy`; `detail` says what changed ("8 -> 4").
    """

    stage: str
    from_device: str
    to_device: str
    cause: str
    step: str = "cpu"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Transcript:
    """The whole result for one file. `clips`: the parts of it that were heard; () if that is all of it.

    `language`: the one that most was recognised in, with the probability (0..1) that it was detected with; 1 where it
    was given. `languages`: all of them, and those that were heard, the most recognised first.
    `unspoken`: speech that no word has, in order, heard where words are timed by a classifier of letters.
    """

    name: str
    duration_s: float
    language: str
    language_probability: float
    task: str
    segments: tuple[Segment, ...]
    model: str
    device: str
    compute_type: str
    media: MediaInfo
    damage: MediaDamage = field(default_factory=MediaDamage)
    rejected: tuple[RejectedText, ...] = ()
    coverage: Coverage = field(default_factory=Coverage)
    device_fallbacks: tuple[DeviceFallbackStep, ...] = ()
    engine_s: float = 0.0
    notes: tuple[Note, ...] = ()
    clips: tuple[Clip, ...] = ()
    languages: tuple[LanguageShare, ...] = ()
    unspoken: tuple[Unspoken, ...] = ()

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def text(self) -> str:
        return join_words(self.words)


def join_words(words: tuple[Word, ...] | list[Word]) -> str:
    """The running text of `words`: a blank between two of them unless the later one is written without."""
    return "".join((" " if word.space_before else "") + word.text for word in words).strip()

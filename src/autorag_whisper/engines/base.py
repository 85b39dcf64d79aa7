"""What an engine promises, in prose. Adapters repeat none of it; the suites in `tests/contract` hold them to it.

Lengths of tokens never include the prompt. Encoder frames are 20 ms, mel frames 10 ms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from autorag_whisper.domain.request import Search

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from autorag_whisper.align.letters import LetterHearing
    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.domain.device import Device
    from autorag_whisper.domain.notes import Note

ENCODER_FRAME_S = 0.02
WINDOW_FRAMES, LEAST_FRAMES = 3000, 2
"""Mel frames of Whisper's full window, 30 s, and of the shortest."""
MAX_NEW_TOKENS = 224
"""Half of the decoder's context: what Whisper gives one window."""
DEFAULT_SEARCH = Search()


@dataclass(frozen=True, slots=True)
class CharacterHeads:
    """What makes a model time single letters well: attention heads (decoder layer, head), found by accuracy.

    `median_filter` frames smooth their attention; a word's first letter is seen `late_s` after the word has begun, and
    with whole tokens a word is seen `tokens_early_s` before. `loses_its_place`: in long texts, now and then, which a
    comparison with the tokens shows.
    """

    heads: tuple[tuple[int, int], ...]
    late_s: float
    tokens_early_s: float = 0.0
    loses_its_place: bool = False
    median_filter: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizerSpec:
    """What a loaded engine is and what it can do, read once at load: valid also after it was closed.

    `compute_type` is the effective one. `workers`: engine calls that run at the same time; more callers wait.
    `batch_size`: chunks in one call, the default for this device. `languages`: the codes that it can be told.

    `detects_languages`: it tells which of its languages is spoken; else, of several, one has to be given.
    `translates`: it can say in English what was said in another language.
    `has_windows`: it computes a chunk in a window of one of a few lengths, and a batch has one of them; else chunks of
    any lengths go together. `strict_window`: that window is always the full one, 30 s.
    `mixes_windows`: a batch may have chunks of different windows.
    `redoes`: it can decode a chunk again with more care; else its first text is final, whatever fault it has.
    `hears_borders`: it can be asked what it hears across the border of two chunks.
    `vocabulary`: how many tokens it has, 0 where it knows of none. `options`: the fields of `TranscribeOptions` about
    decoding that it obeys, of `DECODING_OPTIONS`. `notes`: what each result of it is to say.
    """

    model: str
    device: Device
    compute_type: str
    workers: int
    batch_size: int
    languages: frozenset[str]
    detects_languages: bool = False
    translates: bool = False
    has_windows: bool = False
    strict_window: bool = False
    mixes_windows: bool = False
    redoes: bool = False
    hears_borders: bool = False
    vocabulary: int = 0
    options: frozenset[str] = frozenset()
    notes: tuple[Note, ...] = ()

    @property
    def one_window(self) -> bool:
        """Whether chunks of all lengths go through it together."""
        return self.strict_window or self.mixes_windows or not self.has_windows

    @property
    def only_language(self) -> str | None:
        """The language of whatever it hears, where it knows one alone."""
        return next(iter(self.languages)) if len(self.languages) == 1 else None


DECODING_OPTIONS = {
    "beam_size": "beam size",
    "temperatures": "temperatures",
    "initial_prompt": "prompt",
    "hotwords": "hotwords",
    "prefix": "prefix",
    "patience": "patience",
    "length_penalty": "length penalty",
    "repetition_penalty": "repetition penalty",
    "no_repeat_ngram_size": "no-repeat n-gram size",
    "suppress_tokens": "suppressed tokens",
    "suppress_blank": "suppressed blanks",
    "max_new_tokens": "new tokens",
}
"""Fields of `TranscribeOptions` that say how a text is decoded, which not every engine can do, with their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhisperSpec(RecognizerSpec):
    """Of a Whisper model besides: `languages` is `en` alone if it is not multilingual.

    `characters`: the heads with which it aligns, None if it does so with its own, which are made for whole tokens.
    `letters`: what hears letters in its encoder output, if anything does.
    `spells_below`: token ids below this one are aligned fastest when a text is spelled; None if all cost the same.
    """

    n_mels: int
    detects_languages: bool = True
    translates: bool = True
    has_windows: bool = True
    redoes: bool = True
    hears_borders: bool = True
    vocabulary: int = 51_864
    options: frozenset[str] = frozenset(DECODING_OPTIONS)
    characters: CharacterHeads | None = None
    letters: LetterHearing | None = None
    spells_below: int | None = None

    @property
    def multilingual(self) -> bool:
        return len(self.languages) > 1


class LoadedEngine(Protocol):
    """What is loaded on a device: all that whoever owns the memory knows of it.

    Every method may be called from any thread. Raises DeviceError where the device fails underneath, EngineError for
    any other failure of the engine and after `close`; never the runtime's own exceptions. A host that runs out of
    memory raises MemoryError.
    """

    @property
    def spec(self) -> RecognizerSpec: ...

    def offload(self) -> bool:
        """Move the weights to the CPU's memory, and wait until the device's is free: whether anything was moved.

        Waits for calls in flight. On the CPU nothing is moved and all goes on; on a card every other call but
        `restore` and `close` raises EngineError until it is restored. Again is fine. Raises EngineError where the
        engine keeps declining: then nothing was moved.
        """
        ...

    def restore(self) -> bool:
        """Bring the weights back, without reading them from the disk again: whether anything was moved."""
        ...

    def close(self) -> None:
        """Give the memory back: waits for calls in flight, refuses new ones, and returns when it is given back.

        Again is fine. Raises EngineError where the engine keeps declining.
        """
        ...


@dataclass(frozen=True, slots=True)
class Decoding:
    """How one call decodes. Temperature 0 is beam search; above it, the best of `beam_size` samples is taken.

    `prefix`: tokens with which every row's text begins; they are its first tokens, and count in no length here.

    `seed` (0 to 2**31 - 1) decides the samples: the same rows, prompts and decoding give the same ones, whatever the
    engine has sampled before.
    """

    beam_size: int = 5
    temperature: float = 0.0
    max_new_tokens: int = MAX_NEW_TOKENS
    seed: int = 0
    search: Search = DEFAULT_SEARCH
    prefix: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What was decoded from one row.

    `token_ids` are text tokens alone, those of a prefix first; `avg_logprob` is the mean over them, but for a prefix,
    and the end of text.

    `probabilities`: of each token, where the engine tells them while it decodes; None where only `align` does.
    `cap_hit`: decoding stopped at `max_new_tokens`, not at an end of text.
    """

    token_ids: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    cap_hit: bool
    probabilities: tuple[float, ...] | None = None

    def whole(self, tokenizer: Texts) -> Hypothesis:
        """Without what is no text (`Texts.whole`)."""
        kept = tokenizer.whole(self.token_ids)
        token_ids = tuple(token for token, _ in kept)
        if token_ids == self.token_ids:
            return self
        told = None if self.probabilities is None else tuple(self.probabilities[place] for _, place in kept)
        return replace(self, token_ids=token_ids, probabilities=told)

    def first(self, count: int) -> Hypothesis:
        """The first `count` tokens of it alone."""
        kept = None if self.probabilities is None else self.probabilities[:count]
        return replace(self, token_ids=self.token_ids[:count], probabilities=kept)


@dataclass(frozen=True, slots=True, eq=False)
class TokenTimes:
    """When each text token is heard.

    `starts`: int64[n + 1] encoder frames, non-decreasing, the last is the text's end.

    `probabilities`: float32[n], 0..1, finite.
    """

    starts: NDArray[np.int64]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Encoder output of a batch, opaque outside its engine. It holds memory of the device: drop it soon."""

    rows: int
    value: Any


class Texts(Protocol):
    """What token ids stand for. Thread-safe."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of text tokens; a piece of a character gives U+FFFD."""
        ...

    def whole(self, token_ids: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Tokens without what is no text: special tokens, pieces of characters, U+FFFD, control characters.

        (token, the place in `token_ids` of the one that it is, or was part of), in order.
        """
        ...


class Tokenizer(Texts, Protocol):
    """Text <-> token ids of one model. Thread-safe."""

    def prompt(self, language: str, task: str, previous: str = "", hotwords: str = "") -> tuple[int, ...]:
        """The decoder's prompt for text without timestamps; `language` counts for multilingual models alone.

        `previous` and `hotwords` come before it as if said before; of both the last 223 tokens at most are kept.
        """
        ...

    def start_sequence(self, language: str, task: str) -> tuple[int, ...]:
        """The prompt's start for `WhisperModel.align`: no text, no task about timestamps."""
        ...

    def encode(self, text: str) -> tuple[int, ...]:
        """The tokens of a text, which `decode` gives back. The name of a special token in it is text, no such token."""
        ...


class WhisperModel(LoadedEngine, Protocol):
    """A loaded Whisper model on one device: the steps of its recognition, each a call.

    Every method may be called from any thread; calls beyond `spec.workers` wait for a worker. Arguments are never
    changed or kept. Rows of a batch do not influence each other (up to the order of floating-point sums).
    """

    @property
    def spec(self) -> WhisperSpec: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    def encode(self, features: NDArray[np.float32] | Sequence[NDArray[np.float32]]) -> Encoded:
        """Encode float32[rows, n_mels, frames]: rows >= 1, frames even, 2..3000.

        Where the spec has `mixes_windows`, also a sequence of float32[n_mels, frames] of different frames.
        """
        ...

    def select(self, encoded: Encoded, rows: Sequence[int]) -> Encoded:
        """The encoder output of some rows (at least one), in that order."""
        ...

    def excerpts(self, encoded: Encoded, places: Sequence[tuple[int, int]], frames: int, step: int) -> Encoded:
        """A row for each place (row, first encoder frame), one at least: every `step`-th of the `frames` from there."""
        ...

    def as_arrays(self, encoded: Encoded) -> Sequence[NDArray[np.float32]]:
        """Of each row the encoder output, float32[frames, width], on the host, not to be written to.

        A card's is copied; of others it is what the engine itself has.
        """
        ...

    def detect_languages(self, encoded: Encoded) -> list[dict[str, float]]:
        """For each row the probability of each language code; they sum to 1. English-only models say `{"en": 1.0}`."""
        ...

    def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
        """Decode every row with its own prompt. Prompts are of equal length."""
        ...

    def align(
        self,
        encoded: Encoded,
        start_sequence: Sequence[int],
        token_ids: Sequence[Sequence[int]],
        frames: Sequence[int],
        *,
        spelled: bool = False,
    ) -> list[TokenTimes]:
        """Times of 1..445 text tokens a row; `frames`: mel frames of each row that are audio, not padding.

        A start sequence of more than one token takes its room from the 445. `spelled`: the tokens are mostly letters,
        which the heads of `spec.characters` time; only where the spec has them.

        Probabilities do not depend on `frames`: with `LEAST_FRAMES` they cost half as much, and the times mean nothing.
        """
        ...


@dataclass(frozen=True, slots=True)
class Wording:
    """How a pipeline of its own is to decode: what `Tokenizer.prompt` and `Decoding` say to other engines."""

    language: str
    task: str
    beam_size: int
    previous: str = ""
    hotwords: str = ""
    search: Search = DEFAULT_SEARCH


@runtime_checkable
class WhisperPipeline(WhisperModel, Protocol):
    """A recogniser that goes from samples to text by rules of its own; what it does for one batch is final."""

    def recognise(self, clips: Sequence[Samples], wording: Wording) -> tuple[Encoded, list[Hypothesis]]:
        """The text of clips of 30 s at most, one at least, and the encoder output in which they are the rows.

        Raises as the other methods do.
        """
        ...


class VoiceActivityStream(Protocol):
    """Voice activity of one file, in order. Belongs to one thread."""

    def push(self, samples: Samples) -> NDArray[np.float32]:
        """float32[n]: speech probability of every window of 512 samples that is complete by now.

        The values do not depend on how the samples were cut into calls.
        """
        ...

    def finish(self) -> NDArray[np.float32]:
        """The last window, filled with silence, if samples are left: float32[0 or 1]."""
        ...


class VoiceActivity(Protocol):
    """A voice-activity model. Thread-safe; a stream holds its own state."""

    def stream(self) -> VoiceActivityStream: ...

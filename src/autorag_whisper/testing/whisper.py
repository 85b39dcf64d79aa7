"""A recogniser without a model: it counts beeps, and fails on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import numpy as np

from autorag_whisper.domain.device import CPU, Device
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.engines.base import Encoded, Hypothesis, TokenTimes, WhisperSpec
from autorag_whisper.testing.engine import FakeEngine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.align.letters import LetterHearing
    from autorag_whisper.engines.base import CharacterHeads, Decoding
    from autorag_whisper.testing.engine import Faults

NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_LANGUAGES = ("en", "de", "ja")
_VOCABULARY = 0x110000
_START, _NO_TIMESTAMPS, _PREVIOUS = 0x110001, 0x110002, 0x110003

Script = Callable[["NDArray[np.float32]"], Hypothesis]
"""What is decoded from one row of features, float32[n_mels, frames]."""


class FakeTokenizer:
    """One token a character: its code point."""

    def prompt(self, language: str, task: str, previous: str = "", hotwords: str = "") -> tuple[int, ...]:
        said = " ".join(filter(None, (previous, hotwords)))
        before = (_PREVIOUS, *self.encode(said)[-223:]) if said else ()
        return (*before, *self.start_sequence(language, task), _NO_TIMESTAMPS)

    def start_sequence(self, language: str, task: str) -> tuple[int, ...]:
        return (_START, 0x120000 + _LANGUAGES.index(language), 0x130000 + len(task))

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(ord(character) for character in text)

    def whole(self, token_ids: Sequence[int]) -> tuple[tuple[int, int], ...]:
        return tuple((token, n) for n, token in enumerate(token_ids) if token != 0xFFFD)

    def decode(self, token_ids: Sequence[int]) -> str:
        return "".join(chr(token) for token in token_ids if token < 0x110000)


class FakeWhisper(FakeEngine[WhisperSpec]):
    """Every beep is a word: "one", "two", ... (`script` decides otherwise).

    `decodings` are those of its calls.

    It hears `language` with that probability in everything, or what that says of a row of features.
    """

    def __init__(
        self,
        *,
        device: Device = CPU,
        workers: int = 2,
        language: tuple[str, float] | Callable[[NDArray[np.float32]], tuple[str, float]] = ("en", 0.95),
        script: Script | None = None,
        faults: Faults | None = None,
        characters: CharacterHeads | None = None,
    ) -> None:
        super().__init__(
            WhisperSpec(
                model="fake",
                device=device,
                compute_type="float32",
                workers=workers,
                batch_size=4,
                languages=frozenset(_LANGUAGES),
                n_mels=80,
                vocabulary=_VOCABULARY,
                characters=characters,
            ),
            faults,
        )
        self._tokenizer = FakeTokenizer()
        self._language, self._script = language, script or self._count
        self.decodings: list[Decoding] = []

    def hearing(self, letters: LetterHearing) -> Self:
        """This one, with a classifier of letters; what it hears is the frames of its features, one of two."""
        self._spec = replace(self._spec, letters=letters)
        return self

    @property
    def tokenizer(self) -> FakeTokenizer:
        return self._tokenizer

    def encode(self, features: NDArray[np.float32] | Sequence[NDArray[np.float32]]) -> Encoded:
        self.faults.rows = len(features)
        with self._call("encode"):
            self.faults.batches.append(len(features))
            return Encoded(len(features), np.array(features))

    def select(self, encoded: Encoded, rows: Sequence[int]) -> Encoded:
        with self._call("select"):
            return Encoded(len(rows), encoded.value[list(rows)])

    def excerpts(self, encoded: Encoded, places: Sequence[tuple[int, int]], frames: int, step: int) -> Encoded:
        with self._call("excerpts"):
            _require(bool(places) and step > 0)  # a beep would not be one in every `step`-th of its frames
            cut = [encoded.value[row, :, 2 * n : 2 * (n + frames)] for row, n in places]
            return Encoded(len(places), np.stack(cut))

    def as_arrays(self, encoded: Encoded) -> Sequence[NDArray[np.float32]]:
        with self._call("as_arrays"):
            output = np.ascontiguousarray(encoded.value[:, :, ::2].transpose(0, 2, 1))
            output.flags.writeable = False
            return list(output)

    def detect_languages(self, encoded: Encoded) -> list[dict[str, float]]:
        with self._call("detect_language"):
            heard = self._language
            return [_votes(*(heard(row) if callable(heard) else heard)) for row in encoded.value]

    def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
        _require(len(prompts) == encoded.rows > 0)
        with self._call("generate"):
            self.decodings.append(decoding)
            found = [_constrained(self._script(row), decoding) for row in encoded.value]
        cap = decoding.max_new_tokens + len(decoding.prefix)
        greedy = decoding.beam_size == 1 and decoding.temperature == 0 and decoding.search.leaves_probabilities
        told = [h if greedy and not decoding.prefix else replace(h, probabilities=None) for h in found]
        return [replace(h.first(cap), cap_hit=len(h.token_ids) >= cap) for h in told]

    def align(
        self,
        encoded: Encoded,
        start_sequence: Sequence[int],
        token_ids: Sequence[Sequence[int]],
        frames: Sequence[int],
        *,
        spelled: bool = False,  # noqa: ARG002 - it has no attention
    ) -> list[TokenTimes]:
        _require(len(token_ids) == len(frames) == encoded.rows > 0 and bool(start_sequence))
        _require(all(1 <= len(tokens) <= 445 for tokens in token_ids))
        with self._call("align"):
            return [
                TokenTimes(np.linspace(0, n // 2, len(ids) + 1).astype(np.int64), np.full(len(ids), 0.9, np.float32))
                for ids, n in zip(token_ids, frames, strict=True)
            ]

    def _count(self, features: NDArray[np.float32]) -> Hypothesis:
        """The beeps of a row: runs of frames within 2 (80 dB / 40) of the loudest."""
        loudness = features.max(axis=0)
        loud = np.concatenate(([False], loudness > loudness.max() - 0.5))
        beeps = int(np.sum(loud[1:] & ~loud[:-1])) if loudness.max() > 0 else 0
        words = [NUMBERS[n % len(NUMBERS)] for n in range(beeps)]
        text = "".join(f" {word}" for word in words)
        return Hypothesis(self._tokenizer.encode(text), -0.2, 0.01, cap_hit=False)


def _constrained(found: Hypothesis, decoding: Decoding) -> Hypothesis:
    """Its tokens without those that are suppressed, behind the prefix."""
    if not decoding.prefix and not set(decoding.search.suppress_tokens) & set(found.token_ids):
        return found
    said = tuple(token for token in found.token_ids if token not in decoding.search.suppress_tokens)
    return replace(found, token_ids=(*decoding.prefix, *said), probabilities=None)


def _votes(code: str, probability: float) -> dict[str, float]:
    others = [name for name in _LANGUAGES if name != code]
    return {code: probability} | {other: (1 - probability) / len(others) for other in others}


def _require(good: bool) -> None:
    if not good:
        raise EngineError("fake", "arguments", "they do not fit the batch")

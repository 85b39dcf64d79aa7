"""How texts are searched for under one set of options: their prompts, their lengths, the ways of a redo."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from autorag_whisper.engines.base import Decoding
from autorag_whisper.recognition.sampling import seed_of
from autorag_whisper.recognition.windows import token_cap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.engines.base import Encoded, Hypothesis, WhisperModel

MAX_PREFIX_TOKENS = 100
"""Of the 448 that prompt and text may have together."""
_REDO_BEAM = 5
"""Beam at least, and samples to choose from, when a chunk is redone."""


class Asked(NamedTuple):
    """A row to decode: in which language, and whether it is the first chunk of its file."""

    language: str
    is_first: bool


class TextSearch:
    """The search on one recogniser, under one set of options. Thread-safe: it keeps nothing."""

    def __init__(self, recognizer: WhisperModel, options: TranscribeOptions) -> None:
        self._engine, self._options = recognizer, options
        self._prefix = self._prefix_tokens()

    def first_ways(self, rows: Sequence[tuple[SpeechChunk, str]]) -> list[tuple[Decoding, list[int]]]:
        """Of the first attempt at these chunks, each in its language: each way with the rows that go it together."""
        options, ways = self._options, list[tuple[Decoding, list[int]]]()
        temperature = options.temperatures[0]
        beams = [self._hypotheses(language, temperature) for _, language in rows]
        for beam in dict.fromkeys(beams):
            together = [n for n, one in enumerate(beams) if one == beam]
            cap = max(self.cap(*rows[n]) for n in together)
            ways.append((Decoding(beam, temperature, cap, search=options.search), together))
        return ways

    def ways(self, chunk: SpeechChunk, language: str) -> list[Decoding]:
        """Of a redo, in their order."""
        options, cap = self._options, self.cap(chunk, language)
        seed = seed_of(chunk.samples)
        return [
            Decoding(max(_REDO_BEAM, self._hypotheses(language, temperature)), temperature, cap, seed, options.search)
            for temperature in options.temperatures
        ]

    def _hypotheses(self, language: str, temperature: float) -> int:
        """The beam, which is the language's, or above temperature 0 how many samples are drawn."""
        return self._options.effort.beam_size if temperature else self._options.beam_size_in(language)

    def cap(self, chunk: SpeechChunk, language: str) -> int:
        """New tokens that a chunk may have."""
        return self._options.max_new_tokens or token_cap(len(chunk.samples), language)

    def is_cut(self, hypothesis: Hypothesis, chunk: SpeechChunk, language: str) -> bool:
        """Whether it ends at a cap; where the caller said how long a text may be, it was his to say.

        A long prompt lowers the cap of a call, a longer chunk in the same batch raises it.
        """
        if self._options.max_new_tokens:
            return False
        given = len(self._prefix) if chunk.index == 0 else 0
        return hypothesis.cap_hit or len(hypothesis.token_ids) - given >= self.cap(chunk, language)

    def generate(self, encoded: Encoded, rows: Sequence[Asked], decoding: Decoding) -> list[Hypothesis]:
        """Decode every row. First chunks go apart from the others where their text begins with a prefix."""
        first = [n for n, row in enumerate(rows) if self._prefix and row.is_first]
        if not first:
            return self._decoded(encoded, rows, decoding)
        found: dict[int, Hypothesis] = {}
        others = [n for n in range(len(rows)) if n not in first]
        for group, prefix in ((first, self._prefix), (others, ())):
            if group:
                part = self._engine.select(encoded, group)
                said = self._decoded(part, [rows[n] for n in group], replace(decoding, prefix=prefix))
                found |= dict(zip(group, said, strict=True))
        return [found[n] for n in range(len(rows))]

    def _decoded(self, encoded: Encoded, rows: Sequence[Asked], decoding: Decoding) -> list[Hypothesis]:
        options, prompt = self._options, self._engine.tokenizer.prompt
        prompts = [prompt(row.language, options.task, options.initial_prompt, options.hotwords) for row in rows]
        return self._engine.generate(encoded, prompts, decoding)

    def _prefix_tokens(self) -> tuple[int, ...]:
        """Of as many of the prefix's characters as `MAX_PREFIX_TOKENS` hold."""
        prefix, tokens = self._options.prefix.strip(), tuple[int, ...]()
        while prefix and len(tokens := self._engine.tokenizer.encode(f" {prefix}")) > MAX_PREFIX_TOKENS:
            prefix = prefix[:-1]
        return tokens if prefix else ()

"""What CTranslate2 answers becomes a hypothesis, whatever tokens of the vocabulary the search wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from autorag_whisper.engines.results import hypothesis

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TEXT, _ALL = 20, 30
"""Tokens of text, and with the special ones: of languages, tasks and times."""


@dataclass(frozen=True)
class Answer:
    """The fields of CTranslate2's `WhisperGenerationResult` that are read."""

    sequences_ids: list[list[int]]
    logits: list[list[NDArray[np.float32]]]
    scores: tuple[float, ...] = (-0.5,)
    no_speech_prob: float = 0.1


@given(st.data(), st.lists(st.integers(0, _ALL - 1), max_size=12))
def test_any_token_of_the_vocabulary_may_stand_in_a_text(data: st.DataObject, tokens: list[int]) -> None:
    values = st.floats(-50, 50, width=32)
    logits = data.draw(arrays.arrays(np.float32, (len(tokens), _ALL), elements=values))
    found = hypothesis(Answer([tokens], [list(logits)]), cap=100, end=_TEXT)
    assert found.token_ids == tuple(tokens)
    assert found.probabilities is not None
    for token, told, row in zip(tokens, found.probabilities, logits.astype(np.float64), strict=True):
        of_text = np.exp(row[:_TEXT]) / np.exp(row[:_TEXT]).sum()
        assert np.isclose(told, of_text[token] if token < _TEXT else 0.0, atol=1e-5)

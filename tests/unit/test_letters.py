"""Words by the letters that a classifier hears in the encoder's output."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autorag_whisper.align.letters import LetterClassifier


def a_classifier(width: int = 4, hidden: int = 5, alphabet: tuple[str, ...] = ("a", "b")) -> LetterClassifier:
    """Random weights."""
    rng, symbols = np.random.default_rng(1), len(alphabet) + 2

    def some(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    return LetterClassifier(
        mean=some(width),
        spread=np.abs(some(width)) + 0.5,
        hidden_weights=some(3 * width, hidden),
        hidden_bias=some(hidden),
        output_weights=some(hidden, symbols),
        output_bias=some(symbols),
        prior=some(symbols),
        alphabet=alphabet,
    )


def test_a_frame_is_classified_with_its_neighbours_by_one_hidden_layer() -> None:
    classifier = a_classifier()
    encoded = np.random.default_rng(2).standard_normal((3, 4)).astype(np.float32)
    frames = (encoded - classifier.mean) / classifier.spread
    around = np.concatenate((frames[0], frames[1], frames[2]))
    scores = np.maximum(around @ classifier.hidden_weights + classifier.hidden_bias, 0) @ classifier.output_weights
    scores += classifier.output_bias
    expected = scores - np.log(np.exp(scores).sum())
    told = classifier.log_probabilities(encoded)
    assert told.shape == (3, 4)
    assert told.dtype == np.float32
    np.testing.assert_allclose(told[1], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.exp(told).sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spread", np.zeros(4, np.float32)),
        ("prior", np.zeros(3, np.float32)),
        ("output_bias", np.full(4, np.nan, np.float32)),
        ("hidden_weights", np.zeros((8, 5), np.float32)),
        ("alphabet", ("a", "a")),
        ("alphabet", ("a", "bc")),
    ],
)
def test_weights_that_do_not_fit_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        replace(a_classifier(), **{name: value})  # type: ignore[arg-type]  # names of fields as the table has them

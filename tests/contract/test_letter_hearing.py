"""Everyone who hears letters hears what the reference does, and finds the same paths, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag_whisper.align.best_path import Trellis, best_path
from autorag_whisper.engines.native_letters import NativeLetters
from autorag_whisper.engines.native_library import NativeCallError
from letter_models import a_classifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.align.letters import LetterClassifier, LetterHearing

    Made = Callable[[LetterClassifier], LetterHearing]

NATIVE = ("scalar", "avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "neon_dotprod")
SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=25)


@pytest.fixture(scope="module", params=["numpy", *NATIVE])
def made(request: pytest.FixtureRequest) -> Made:
    if request.param == "numpy":
        return lambda classifier: classifier
    library = request.getfixturevalue("native_library")
    if library.instruction_set(request.param) is None:
        pytest.skip(f"this processor has no {request.param}")
    return lambda classifier: NativeLetters(classifier, library, request.param)


def in_8_bits(classifier: LetterClassifier) -> LetterClassifier:
    """As a file has it: hidden weights of 8 bits, a scale for each unit."""
    scale = np.abs(classifier.hidden_weights).max(axis=0) / np.float32(127)
    return replace(classifier, hidden_weights=np.rint(classifier.hidden_weights / scale) * scale)


def frames_of(seed: int, frames: int, width: int, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((frames, width)) * scale).astype(np.float32)


@few
@given(
    seed=SEEDS,
    frames=st.sampled_from([1, 2, 3, 95, 96, 97, 98, 193, 300]),
    width=st.sampled_from([1, 16, 63, 64, 65, 384]),
    hidden=st.sampled_from([1, 15, 32, 33, 256]),
    scale=st.sampled_from([0.0, 1e-20, 0.1, 1.0, 30.0]),
)
def test_it_hears_what_the_reference_does(
    made: Made, seed: int, frames: int, width: int, hidden: int, scale: float
) -> None:
    classifier = in_8_bits(a_classifier(width, hidden, seed))
    encoded = frames_of(seed, frames, width, scale)
    told, wanted = made(classifier).log_probabilities(encoded), classifier.log_probabilities(encoded)
    assert (told.dtype, told.shape) == (np.float32, wanted.shape)
    # Of 16 bits no value is off by more than a 32,258th of the largest one; sums of floats are off a little too.
    off = np.abs((encoded - classifier.mean) / classifier.spread).max() / 25_000
    reach = (np.abs(classifier.hidden_weights).sum(axis=0) @ np.abs(classifier.output_weights)).max()
    np.testing.assert_allclose(told, wanted, rtol=1e-4, atol=1e-4 + 2 * off * reach)
    np.testing.assert_allclose(np.exp(told).sum(axis=1), 1.0, rtol=2e-3)


def test_what_it_hears_of_an_encoder_is_within_a_hundredth_of_a_nat(made: Made) -> None:
    """Numbers as an encoder's, some of them large: by 16 bits nothing is lost that a path would notice."""
    classifier = a_classifier(512, 256)
    classifier = in_8_bits(replace(classifier, hidden_weights=classifier.hidden_weights / np.float32(40)))
    classifier = replace(classifier, output_weights=classifier.output_weights / np.float32(4))
    encoded = frames_of(7, 1500, 512)
    encoded[:, 11] *= 20
    told, wanted = made(classifier).log_probabilities(encoded), classifier.log_probabilities(encoded)
    np.testing.assert_allclose(told, wanted, rtol=0, atol=0.01)


def test_frames_beyond_the_next_ones_make_no_difference(made: Made) -> None:
    hearing = made(a_classifier(64, 32))
    encoded = frames_of(3, 250, 64)
    told = hearing.log_probabilities(encoded)
    for first, stop in ((0, 2), (95, 98), (10, 200), (247, 250)):
        part = hearing.log_probabilities(encoded[first:stop])
        inner = slice(1 if first else 0, stop - first - (stop < 250))
        np.testing.assert_allclose(part[inner], told[first:stop][inner], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_was_heard_in_a_frame_that_is_no_number_is_none(made: Made, value: float) -> None:
    encoded = frames_of(1, 200, 20)
    encoded[97, 19] = value
    with np.errstate(invalid="ignore"):
        told = made(a_classifier(20, 8)).log_probabilities(encoded)
    assert np.isnan(told[97]).all()
    assert np.isfinite(told[[*range(96), *range(99, 200)]]).all()


def test_a_view_of_an_array_is_heard_as_the_array(made: Made) -> None:
    hearing = made(a_classifier(6, 5))
    encoded = frames_of(1, 40, 12)
    np.testing.assert_allclose(
        hearing.log_probabilities(encoded[::2, ::2]), hearing.log_probabilities(encoded[::2, ::2].copy()), rtol=1e-6
    )


@pytest.mark.parametrize("shape", [(4, 5), (4, 7), (0, 7)])
def test_another_width_is_refused(made: Made, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape|wide"):
        made(a_classifier(6, 5)).log_probabilities(np.zeros(shape, np.float32))


def test_it_tells_what_the_classifier_tells(made: Made) -> None:
    classifier = a_classifier()
    hearing = made(classifier)
    assert (hearing.alphabet, hearing.width) == (classifier.alphabet, classifier.width)
    np.testing.assert_array_equal(hearing.prior, classifier.prior)


@st.composite
def trellises(draw: st.DrawFn) -> Trellis:
    """Whole numbers have many paths that are equal; others round differently in another order of sums."""
    rng = np.random.default_rng(draw(SEEDS))
    frames, states, columns = draw(st.integers(1, 60)), draw(st.integers(1, 90)), draw(st.integers(1, 12))
    are_whole = draw(st.booleans())

    def some(low: float, high: float, *shape: int) -> np.ndarray:
        drawn = rng.uniform(low, high, shape)
        return (np.rint(drawn) if are_whole else drawn).astype(np.float32)

    paid = np.concatenate(([0.0], np.cumsum(some(0, draw(st.sampled_from([1, 6])), states)))).astype(np.float32)
    return Trellis(
        some(-20, 0, frames, columns),
        rng.integers(0, columns, states).astype(np.int32),
        paid,
        some(0, 12, states) * (rng.uniform(0, 1, states) < 0.2).astype(np.float32),
    )


@settings(max_examples=100)
@given(trellis=trellises())
def test_the_best_path_is_the_references_bit_for_bit(made: Made, trellis: Trellis) -> None:
    wanted, likelihood = best_path(trellis)
    path, told = made(a_classifier()).best_path(trellis)
    assert path.dtype == wanted.dtype
    np.testing.assert_array_equal(path, wanted)
    assert told == likelihood


def test_a_way_of_thousands_of_states_is_the_references_too(made: Made) -> None:
    rng = np.random.default_rng(5)
    paid = np.concatenate(([0.0], np.cumsum(rng.choice([0.0, 1.0, 6.0], 3000)))).astype(np.float32)
    long = Trellis(
        rng.uniform(-15, 0, (1500, 31)).astype(np.float32), rng.integers(0, 31, 3000).astype(np.int32), paid,
        rng.choice([0.0, 12.0], 3000).astype(np.float32),
    )  # fmt: skip
    wanted, likelihood = best_path(long)
    path, told = made(a_classifier()).best_path(long)
    np.testing.assert_array_equal(path, wanted)
    assert told == likelihood


@pytest.mark.parametrize("kind", NATIVE[:1])
def test_a_path_through_sounds_that_are_not_there_is_refused(request: pytest.FixtureRequest, kind: str) -> None:
    """numpy raises an IndexError, the library has to look."""
    hearing = NativeLetters(a_classifier(), request.getfixturevalue("native_library"), kind)
    sounds, prices = np.zeros((3, 2), np.float32), np.zeros(3, np.float32)
    for column in ([0, 2], [-1, 0]):
        with pytest.raises(NativeCallError, match="sounds that are there"):
            hearing.best_path(Trellis(sounds, np.asarray(column, np.int32), prices, prices[:2]))
    with pytest.raises(NativeCallError, match="1 to a million"):
        hearing.best_path(Trellis(sounds[:0], np.zeros(2, np.int32), prices, prices[:2]))
    with pytest.raises(ValueError, match="every state"):
        hearing.best_path(Trellis(sounds, np.zeros(2, np.int32), prices, prices))

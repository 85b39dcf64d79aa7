"""The model of the CPU engine, layer upon layer, against numpy; what it refuses; what it says of memory."""

from __future__ import annotations

import ctypes as c
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag_whisper.domain.errors import Cancelled
from autorag_whisper.domain.request import Search
from autorag_whisper.engines.interruption import Interruption
from autorag_whisper.engines.native_library import CShape, NativeCallError, NativeLibrary
from autorag_whisper.engines.native_model import Attention, NativeModel, NativeSearch, SpecialTokens
from autorag_whisper.engines.native_weights import Tensor
from native_reference import Network, random_tensors, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALL = {"mels": 16, "width": 128, "layers": 2, "vocabulary": 100, "frames": 60, "context": 40}
END, START, NO_TIMESTAMPS, NO_SPEECH = 80, 81, 90, 85
SPECIAL = SpecialTokens(START, END, NO_SPEECH, NO_TIMESTAMPS)
few = settings(max_examples=10)


@cache
def tensors(seed: int = 0, **changes: int) -> dict[str, NDArray[np.float32]]:
    return random_tensors(seed, **(SMALL | changes))


def model(library: NativeLibrary, isa: str = "", seed: int = 0, **changes: int) -> NativeModel:
    return NativeModel(library, {name: Tensor(array) for name, array in tensors(seed, **changes).items()}, SPECIAL, isa)


@pytest.fixture(scope="module", params=["scalar", "avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "neon_dotprod"])
def isa(request: pytest.FixtureRequest, native_library: NativeLibrary) -> str:
    if native_library.instruction_set(request.param) is None:
        pytest.skip(f"this processor or build has no {request.param}")
    return str(request.param)


def mel_of(seed: int, mels: int, frames: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((mels, frames)).astype(np.float32)


def apart(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """Root mean square of the difference, as a share of what is wanted."""
    return float(np.sqrt(((found - wanted) ** 2).mean() / (wanted**2).mean()))


@few
@given(
    seed=st.integers(0, 1000),
    frames=st.integers(1, 60),
    width=st.sampled_from([64, 128, 192]),
    mels=st.sampled_from([16, 80, 128]),
)
def test_the_encoder_is_numpys(
    native_library: NativeLibrary, isa: str, seed: int, frames: int, width: int, mels: int
) -> None:
    mel = mel_of(seed, mels, 2 * frames)
    found = model(native_library, isa, 1, width=width, mels=mels).encode(mel)
    assert apart(found, Network(tensors(1, width=width, mels=mels)).encode(mel)) < 0.04


@few
@given(
    seed=st.integers(0, 1000), frames=st.integers(1, 60), tokens=st.lists(st.integers(0, 99), min_size=1, max_size=40)
)
def test_the_decoder_is_numpys(
    native_library: NativeLibrary, isa: str, seed: int, frames: int, tokens: list[int]
) -> None:
    network, loaded = Network(tensors()), model(native_library, isa)
    encoded = network.encode(mel_of(seed, 16, 2 * frames))
    found = loaded.forced_logits(loaded.audio(encoded), tokens)
    assert found.shape == (len(tokens), SMALL["vocabulary"])
    assert apart(found, network.logits(encoded, tokens)) < 0.05


def test_the_first_tokens_probabilities_are_among_those_asked_for(native_library: NativeLibrary, isa: str) -> None:
    network, loaded = Network(tensors()), model(native_library, isa)
    encoded = [network.encode(mel_of(n, 16, frames)) for n, frames in enumerate((120, 30, 2))]
    wanted = [3, 99, 82, 50]
    found = loaded.first_token_probabilities([loaded.audio(one) for one in encoded], wanted)
    for row, one in zip(found, encoded, strict=True):
        np.testing.assert_allclose(row, softmax(network.logits(one, [START])[0][wanted]), atol=0.08)
        assert row.sum() == pytest.approx(1, abs=1e-5)


def path_of(matrix: NDArray[np.float32]) -> list[int]:
    """First frames of rows on the path of most weight, by CTranslate2's rules for ties."""
    count, frames = matrix.shape
    cost, came = np.full((count + 1, frames + 1), np.inf), np.full((count + 1, frames + 1), 2)
    cost[0, 0] = 0
    came[1:, 0] = 1
    for i in range(1, count + 1):
        for j in range(1, frames + 1):
            both, token, frame = cost[i - 1, j - 1], cost[i - 1, j], cost[i, j - 1]
            came[i, j] = 0 if both < token and both < frame else 1 if token < both and token < frame else 2
            cost[i, j] = (both, token, frame)[came[i, j]] - matrix[i - 1, j - 1]
    starts, i, j = [frames] * count, count, frames
    while i > 0 or j > 0:
        starts[max(0, i - 1)] = min(starts[max(0, i - 1)], max(0, j - 1))
        move = came[i, j]
        i, j = i - (move != 2), j - (move != 1)
    return list(np.maximum.accumulate(starts))


@few
@given(
    seed=st.integers(0, 1000),
    frames=st.integers(1, 60),
    text=st.lists(st.integers(0, 79), min_size=1, max_size=20),
    median=st.sampled_from([1, 3, 7]),
)
def test_alignment_is_the_path_through_the_heads_attention(
    native_library: NativeLibrary, isa: str, seed: int, frames: int, text: list[int], median: int
) -> None:
    network, loaded = Network(tensors()), model(native_library, isa)
    encoded = network.encode(mel_of(seed, 16, 120))
    heads = ((0, 1), (1, 0))
    audio = loaded.audio(encoded)
    starts, probabilities = loaded.align(audio, [START, 84], text, Attention(heads, frames, median))
    assert len(starts) == len(text) + 1
    assert (np.diff(starts) >= 0).all()
    assert 0 <= starts[0] <= starts[-1] <= frames
    bonds: list[NDArray[np.float32]] = []
    tokens = [START, 84, NO_TIMESTAMPS, *text, END]
    logits = network.logits(encoded, tokens, bonds)
    sums = [softmax(row[:END])[token] for row, token in zip(logits[2:], text, strict=False)]
    np.testing.assert_allclose(probabilities, sums, atol=0.12)
    matrix = _matrix([bonds[layer][head] for layer, head in heads], frames, median)[2:-1]
    weight = _weight(matrix, starts)
    best = _weight(matrix, np.array(path_of(matrix)))
    assert weight >= best - 0.05 * abs(best) - 2, "a path of hardly less weight, as 8 bits leave it undecided"


def _matrix(bonds: list[NDArray[np.float32]], frames: int, median: int) -> NDArray[np.float32]:
    total = np.zeros_like(bonds[0][:, :frames])
    for bond in bonds:
        cut = bond[:, :frames] / bond[:, :frames].sum(1, keepdims=True)
        spread = cut.std(0)
        scaled = np.where(spread > 0, (cut - cut.mean(0)) / np.where(spread > 0, spread, 1), 0)
        side = median // 2
        if frames > side:
            padded = np.pad(scaled, ((0, 0), (side, side)), mode="reflect") if side else scaled
            scaled = np.median(np.stack([padded[:, k : k + frames] for k in range(median)]), axis=0)
        total = total + scaled / len(bonds)
    return np.asarray(total, np.float32)


def _weight(matrix: NDArray[np.float32], starts: NDArray[np.int64]) -> float:
    """Of the staircase with these first frames."""
    frames = matrix.shape[1]
    ends = [*starts[1:], frames]
    spans = [
        matrix[n, start : max(int(start) + 1, int(end))].sum()
        for n, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
    return float(np.sum(spans))


def test_windows_of_any_lengths_follow_one_another(native_library: NativeLibrary, isa: str) -> None:
    loaded = model(native_library, isa)
    mels = [mel_of(n, 16, frames) for n, frames in enumerate((120, 2, 64, 6))]
    alone = [model(native_library, isa).encode(mel) for mel in mels]
    for found, wanted in zip([loaded.encode(mel) for mel in mels], alone, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_numbers_that_are_none_do_no_harm(native_library: NativeLibrary, isa: str) -> None:
    loaded = model(native_library, isa)
    for value in (np.nan, np.inf, -np.inf, np.float32(3e38)):
        encoded = loaded.encode(np.full((16, 20), value, np.float32))
        audio = loaded.audio(encoded)
        assert np.isfinite(loaded.forced_logits(audio, [START, 3])).all()
        texts = loaded.generate([audio], [[START, NO_TIMESTAMPS]], NativeSearch(3, 0.0, 0, 5, Search(), (), ()))
        assert len(texts.tokens[0]) <= 5


def test_bad_weights_are_refused_whichever_they_are(native_library: NativeLibrary) -> None:
    good = tensors()
    for name in good:
        with pytest.raises(NativeCallError, match=r"tensor|layers|Whisper"):
            NativeModel(native_library, {key: Tensor(array) for key, array in good.items() if key != name}, SPECIAL)
    for name, array in good.items():
        for changed in (array[..., :-1], array[None], np.full_like(array, np.nan), array.astype(np.int8)):
            with pytest.raises(NativeCallError, match=r"tensor|layers|Whisper"):
                NativeModel(native_library, {k: Tensor(changed if k == name else a) for k, a in good.items()}, SPECIAL)
    for special in (SpecialTokens(START, END, NO_SPEECH, 100), SpecialTokens(END, START, NO_SPEECH, NO_TIMESTAMPS)):
        with pytest.raises(NativeCallError, match="special tokens"):
            NativeModel(native_library, {key: Tensor(array) for key, array in good.items()}, special)


def test_what_a_call_cannot_do_is_refused(native_library: NativeLibrary) -> None:
    loaded = model(native_library)
    audio = loaded.audio(np.zeros((5, 128), np.float32))
    search = NativeSearch(2, 0.0, 0, 5, Search(), (), ())
    for refused in (
        lambda: loaded.encode(np.zeros((16, 3), np.float32)),
        lambda: loaded.encode(np.zeros((16, 122), np.float32)),
        lambda: loaded.encode(np.zeros((15, 20), np.float32)),
        lambda: loaded.encode(np.zeros((17, 20), np.float32)),
        lambda: loaded.audio(np.zeros((61, 128), np.float32)),
        lambda: loaded.audio(np.zeros((5, 64), np.float32)),
        lambda: loaded.audio(np.zeros(128, np.float32)),
        lambda: loaded.generate([audio, audio], [[START, NO_TIMESTAMPS]], search),
        lambda: loaded.generate([audio], [[START, NO_TIMESTAMPS]], NativeSearch(2, 0.0, 0, -1, Search(), (), ())),
        lambda: loaded.forced_logits(audio, [100]),
        lambda: loaded.forced_logits(audio, [1] * 41),
        lambda: loaded.generate([audio], [[1, 2]], search),
        lambda: loaded.generate([audio], [[START]], search),
        lambda: loaded.generate([audio], [[START, *[82] * 38, NO_TIMESTAMPS]], search),
        lambda: loaded.generate([audio], [[START, NO_TIMESTAMPS]], NativeSearch(101, 0.0, 0, 5, Search(), (), ())),
        lambda: loaded.generate([audio], [[START, NO_TIMESTAMPS]], NativeSearch(2, 0.0, 0, 5, Search(), (100,), ())),
        lambda: loaded.generate([audio], [[START, NO_TIMESTAMPS]], NativeSearch(2, np.nan, 0, 5, Search(), (), ())),
        lambda: loaded.align(audio, [START], [1] * 38, Attention(((0, 0),), 5, 1)),
        lambda: loaded.align(audio, [START], [1], Attention(((2, 0),), 5, 1)),
        lambda: loaded.align(audio, [START], [1], Attention(((0, 0),), 6, 1)),
        lambda: loaded.align(audio, [START], [1], Attention(((0, 0),), 5, 2)),
    ):
        with pytest.raises(NativeCallError):
            refused()


def test_a_call_that_nobody_wants_any_more_ends_and_harms_no_other(native_library: NativeLibrary) -> None:
    loaded = model(native_library)
    mel, flag = mel_of(0, 16, 40), Interruption()
    encoded = loaded.encode(mel)
    audio = loaded.audio(encoded)
    search = NativeSearch(2, 0.0, 0, 5, Search(), (), ())
    before = loaded.generate([audio], [[START, NO_TIMESTAMPS]], search).tokens
    flag.set()
    with flag.around():
        for ended in (
            lambda: loaded.encode(mel),
            lambda: loaded.audio(encoded),
            lambda: loaded.first_token_probabilities([audio], [1, 2]),
            lambda: loaded.generate([audio], [[START, NO_TIMESTAMPS]], search),
            lambda: loaded.align(audio, [START], [1], Attention(((0, 0),), 5, 1)),
            lambda: loaded.forced_logits(audio, [1]),
        ):
            with pytest.raises(Cancelled):
                ended()
    assert loaded.generate([audio], [[START, NO_TIMESTAMPS]], search).tokens == before
    np.testing.assert_array_equal(loaded.encode(mel), encoded)


def test_memory_is_told_before_it_is_taken(native_library: NativeLibrary) -> None:
    loaded = model(native_library, width=256, vocabulary=2000)
    shape = CShape()
    native_library.tell("awc_model_shape", loaded.handle, c.byref(shape))
    assert (shape.mels, shape.width, shape.heads, shape.vocabulary) == (16, 256, 4, 2000)
    told = native_library.tell("awc_model_bytes_for", c.byref(shape))
    assert loaded.bytes == pytest.approx(told, rel=0.02)
    loaded.encode(mel_of(0, 16, 120))
    most = native_library.tell("awc_encode_bytes", loaded.handle, 120)
    assert 0 < loaded.bytes - told <= most + 1e5
    loaded.trim()
    assert loaded.bytes == pytest.approx(told, rel=0.02)
    bytes_of = [
        native_library.tell("awc_generate_bytes", loaded.handle, rows, beams, 4, 20)
        for rows, beams in ((1, 1), (2, 1), (2, 5))
    ]
    assert bytes_of == sorted(bytes_of)

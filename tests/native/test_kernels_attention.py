"""Convolution, attention and the vocabulary on every instruction set, against numpy."""

from __future__ import annotations

import math
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import native_kernels as nk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]

seeds = st.integers(0, 2**32 - 1)
lengths = st.one_of(st.integers(1, 70), st.sampled_from([100, 1499, 1500]))

# On each instruction set; `make explore` tries more.
few = settings(max_examples=25)


@pytest.fixture(scope="module", params=nk.NAMES)
def kernels(request: pytest.FixtureRequest) -> nk.Kernels:
    return nk.kernels(request.param)


def normal(seed: int, *shape: int, scale: float = 1.0) -> Floats:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def bfloat16(x: Floats) -> NDArray[np.uint16]:
    bits = x.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def widened(x: NDArray[np.uint16]) -> Doubles:
    return (x.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def as_multiplied(kernels: nk.Kernels, x: Floats) -> Doubles:
    """Numbers as the float products of a table take them."""
    return widened(bfloat16(x)) if kernels.name == "avx512_bf16" else x.astype(np.float64)


def softmax(scores: Doubles) -> Doubles:
    weights: Doubles = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def gelu(x: Doubles) -> Doubles:
    return np.asarray(x / 2 * np.vectorize(math.erfc)(-x / math.sqrt(2)), np.float64)


@few
@given(
    seed=seeds,
    frames=st.one_of(st.integers(1, 30), st.just(200)),
    channels=st.sampled_from([1, 3, 64, 80, 128]),
    outputs=st.integers(1, 70),
    step=st.sampled_from([1, 2]),
    adds=st.booleans(),
)
def test_convolution_is_numpys(
    kernels: nk.Kernels, seed: int, frames: int, channels: int, outputs: int, step: int, adds: bool
) -> None:
    x, w = normal(seed, frames, channels), normal(seed + 1, outputs, channels, 3, scale=0.1)
    bias = normal(seed + 2, outputs)
    added = normal(seed + 3, (frames + step - 1) // step, outputs) if adds else None
    padded = np.pad(as_multiplied(kernels, x), ((1, 1), (0, 0)))
    windows = np.stack([padded[place : place + frames] for place in range(3)], -1)[::step]
    wanted = gelu(np.einsum("tcp,ncp->tn", windows, as_multiplied(kernels, w)) + bias)
    wanted += 0 if added is None else added
    found = kernels.convolution(x, step, kernels.convolution_pack(w, bias), added)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@few
@given(
    seed=seeds,
    frames=st.one_of(st.integers(1, 70), st.just(300)),
    heads=st.integers(1, 3),
    peak=st.sampled_from([0.0, 1e-30, 1.0, 4.0]),
)
def test_frames_attend_to_all_frames(kernels: nk.Kernels, seed: int, frames: int, heads: int, peak: float) -> None:
    width = heads * nk.HEAD
    qkv = normal(seed, frames, 3 * width)
    qkv[:, :width] *= peak
    q, k, v = (
        part.reshape(frames, heads, nk.HEAD).transpose(1, 0, 2).astype(np.float64) for part in np.split(qkv, 3, 1)
    )
    wanted = (softmax(q @ k.transpose(0, 2, 1) / 8) @ v).transpose(1, 0, 2).reshape(frames, width)
    in_short = {"avx512_bf16": 0.03} | dict.fromkeys(("avx2", "avx_vnni", "avx512_vnni"), 2e-3)  # of values around 1
    wide = in_short.get(kernels.name, 1e-4)
    np.testing.assert_allclose(kernels.encoder_attention(qkv), wanted, atol=wide * max(peak, 1), rtol=0)


@few
@given(seed=seeds, frames=st.integers(2, 1500), loud=st.integers(0, 1499))
def test_a_frame_that_wins_or_ties_with_all_gives_its_values(
    kernels: nk.Kernels, seed: int, frames: int, loud: int
) -> None:
    """The two ends of a softmax: one key that all queries look for, and keys that are all alike. Sums of 1500 values of
    one sign, each the largest of its channel, are the largest that a product of attention meets."""
    loud %= frames
    qkv = np.zeros((frames, 3 * nk.HEAD), np.float32)
    qkv[:, : nk.HEAD] = 10
    qkv[loud, nk.HEAD : 2 * nk.HEAD] = 10
    values = qkv[:, 2 * nk.HEAD :] = normal(seed, frames, nk.HEAD)
    found = kernels.encoder_attention(qkv)
    np.testing.assert_allclose(found, np.broadcast_to(values[loud], found.shape), atol=0.02, rtol=0)
    qkv[:, nk.HEAD : 2 * nk.HEAD] = 0
    qkv[:, 2 * nk.HEAD :] = np.where(values[0] < 0, -7, 7)
    np.testing.assert_allclose(kernels.encoder_attention(qkv), qkv[:, 2 * nk.HEAD :], atol=1e-5, rtol=1e-3)


@few
@given(
    seed=seeds,
    count=st.one_of(st.integers(1, 40), st.just(448)),
    heads=st.integers(1, 3),
    peak=st.sampled_from([0.0, 1.0, 20.0]),
)
def test_a_token_attends_to_those_before_it(
    kernels: nk.Kernels, seed: int, count: int, heads: int, peak: float
) -> None:
    width = heads * nk.HEAD
    q = normal(seed, width, scale=peak)
    keys, values = bfloat16(normal(seed + 1, count, width)), bfloat16(normal(seed + 2, count, width))
    by_head = (heads, nk.HEAD)
    scores = np.einsum("hd,jhd->hj", q.reshape(by_head).astype(np.float64), widened(keys).reshape(count, *by_head)) / 8
    wanted = np.einsum("hj,jhd->hd", softmax(scores), widened(values).reshape(count, *by_head)).reshape(width)
    np.testing.assert_allclose(kernels.self_attention(q, keys, values), wanted, atol=1e-4, rtol=0)


def quantized(x: Floats, axis: int) -> tuple[Floats, Floats]:
    """Steps of 8 bits along an axis, and their scales."""
    top = np.abs(x).max(axis, keepdims=True)
    top[top == 0] = 1
    return np.rint(x * (np.float32(127) / top)), top / np.float32(127)


def heads_of(x: Floats) -> Floats:
    return x.reshape(len(x), -1, nk.HEAD).transpose(1, 0, 2)  # [H, T, 64]


def off_at_most(scores: Doubles, values: Doubles, steps: int) -> Doubles:
    """By how much attention [rows, H * 64] may be off: each probability is rounded to so many steps of the largest.

    With weights w' for w: sum(w' v) / sum(w') - a = sum((w' - w) (v - a)) / sum(w'), where a = sum(w v) / sum(w).
    """
    weights = np.exp(scores - scores.max(-1, keepdims=True))  # [H, rows, T], the largest is 1
    attended = weights @ values / weights.sum(-1, keepdims=True)
    rounding = np.minimum(weights, 0.5 / steps)
    off = [[r @ np.abs(v - a) for r, a in zip(rs, found, strict=True)]
           for rs, v, found in zip(rounding, values, attended, strict=True)]  # fmt: skip
    bound: Doubles = np.array(off) / (weights - rounding).sum(-1, keepdims=True)
    return bound.transpose(1, 0, 2).reshape(scores.shape[1], -1)


@example(seed=10, frames=1499, rows=9, heads=1, peak=10.0)
@example(seed=58, frames=35, rows=1, heads=1, peak=0.0)  # a value lies midway between two steps
@few
@given(
    seed=seeds, frames=lengths, rows=st.integers(1, 13), heads=st.integers(1, 2), peak=st.sampled_from([0.0, 1.0, 10.0])
)
def test_rows_attend_to_audio(kernels: nk.Kernels, seed: int, frames: int, rows: int, heads: int, peak: float) -> None:
    """Scores are those of 8-bit queries and keys, values lose no more than their 8 bits and the probabilities' 14."""
    width = heads * nk.HEAD
    kv, q = normal(seed, frames, 2 * width), normal(seed + 1, rows, width, scale=peak)
    keys, key_scales = quantized(heads_of(kv[:, :width]), 2)
    values, value_scales = quantized(heads_of(kv[:, width:]), 1)
    queries, query_scales = quantized(heads_of(q), 2)
    scores = queries.astype(np.float64) @ keys.transpose(0, 2, 1)
    scores *= query_scales.astype(np.float64) * key_scales.transpose(0, 2, 1) / 8
    wanted = (softmax(scores) @ (values * value_scales.astype(np.float64))).transpose(1, 0, 2).reshape(rows, width)
    packed = kernels.cross_pack(kv)
    off = np.abs(kernels.cross_attention(packed, q) - wanted)
    assert np.sqrt((off**2).mean()) < 1e-3
    assert (off <= 1e-4 + off_at_most(scores, values * value_scales, 127 * 128)).all()
    for head, part in ((0, frames), (heads - 1, (frames + 1) // 2)):
        found = kernels.cross_scores(packed, head, q, part)
        np.testing.assert_allclose(found, scores[head, :, :part], rtol=1e-5, atol=1e-5)


@few
@given(sign=st.sampled_from([-1.0, 1.0]), frames=st.sampled_from([1, 33, 1500]))
def test_the_widest_attention_to_the_largest_values_does_not_overflow(
    kernels: nk.Kernels, sign: float, frames: int
) -> None:
    kv = np.full((frames, 2 * nk.HEAD), np.float32(sign * 100))
    found = kernels.cross_attention(kernels.cross_pack(kv), np.zeros((2, nk.HEAD), np.float32))
    np.testing.assert_allclose(found, sign * 100, rtol=1e-5)


@few
@given(seed=seeds, rows=st.integers(2, 12), row=st.integers(0, 11))
def test_attention_of_a_row_is_the_same_alone_and_in_a_batch(
    kernels: nk.Kernels, seed: int, rows: int, row: int
) -> None:
    row %= rows
    packed = kernels.cross_pack(normal(seed, 50, 4 * nk.HEAD))
    q = normal(seed + 1, rows, 2 * nk.HEAD)
    alone = np.ascontiguousarray(q[row : row + 1])
    np.testing.assert_array_equal(kernels.cross_attention(packed, q)[row], kernels.cross_attention(packed, alone)[0])
    scores = kernels.cross_scores(packed, 1, q, 50)
    np.testing.assert_array_equal(scores[row], kernels.cross_scores(packed, 1, alone, 50)[0])


def vocabulary(kernels: nk.Kernels, seed: int, tokens: int) -> nk.Packed:
    w = np.random.default_rng(seed).integers(-127, 128, (tokens, 64)).astype(np.int8)
    w[tokens // 2] = w[0]  # two tokens with one logit
    return kernels.linear_pack(w, np.full(tokens, 1e-2, np.float32), None)


@few
@given(
    seed=seeds,
    rows=st.integers(1, 13),
    tokens=st.sampled_from([1, 31, 255, 256, 257, 700]),
    best=st.sampled_from([0, 1, 2, 10, 200]),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    text=st.floats(0, 1),
)
def test_the_best_tokens_and_the_sum_of_all(
    kernels: nk.Kernels, seed: int, rows: int, tokens: int, best: int, share: float, text: float
) -> None:
    packed = vocabulary(kernels, seed, tokens)
    x = kernels.quantize(normal(seed + 1, rows, 64))
    suppressed = (np.random.default_rng(seed).random(tokens) < share).astype(np.uint8)
    text_end = max(1, int(text * tokens))
    logits = kernels.linear(x, packed, nk.STORE, np.empty((rows, tokens), np.float32))
    logits[:, suppressed.astype(bool)] = -np.inf
    found = kernels.project(x, packed, suppressed if share else None, text_end, best)
    for told, part in ((found.log_sum, logits), (found.text_log_sum, logits[:, :text_end])):
        wide = part.astype(np.float64)
        top = wide.max(1)
        with np.errstate(all="ignore"):
            wanted = np.where(top > -np.inf, top + np.log(np.exp(wide - top[:, None]).sum(1)), -np.inf)
        np.testing.assert_allclose(told, wanted, rtol=1e-5, atol=1e-5)
    for row in range(rows):
        order = [n for n in np.lexsort((np.arange(tokens), -logits[row])) if logits[row, n] > -np.inf][:best]
        missing = best - len(order)
        np.testing.assert_array_equal(found.tokens[row], [*order, *[-1] * missing])
        np.testing.assert_array_equal(found.logits[row], [*logits[row, order], *[-np.inf] * missing])
    alone = kernels.project(x.only(rows - 1), packed, suppressed if share else None, text_end, best)
    np.testing.assert_array_equal(alone.log_sum[0], found.log_sum[rows - 1])
    np.testing.assert_array_equal(alone.text_log_sum[0], found.text_log_sum[rows - 1])
    np.testing.assert_array_equal(alone.logits[0], found.logits[rows - 1])


def test_a_logit_that_is_no_number_is_never_among_the_best(kernels: nk.Kernels) -> None:
    factors = np.ones(40, np.float32)
    factors[[0, 39]] = np.nan
    packed = kernels.linear_pack(np.ones((40, 64), np.int8), factors, None)
    found = kernels.project(kernels.quantize(np.ones((1, 64), np.float32)), packed, None, 40, 5)
    assert found.tokens.tolist() == [[1, 2, 3, 4, 5]]
    np.testing.assert_allclose(found.log_sum, 64 + math.log(38), rtol=1e-6)


@few
@given(value=st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45]), at=st.integers(0, 191))
def test_numbers_out_of_bounds_end_no_process(kernels: nk.Kernels, value: float, at: int) -> None:
    """What comes out is not said; that it comes, with nothing read or written beside it, is."""
    x = normal(1, 40, 3 * nk.HEAD)
    x[7, at] = value
    kernels.encoder_attention(x)
    packed = kernels.cross_pack(np.ascontiguousarray(x[:, : 2 * nk.HEAD]))
    kernels.cross_attention(packed, np.ascontiguousarray(x[:9, nk.HEAD : 2 * nk.HEAD]))
    kernels.self_attention(
        x[7, : nk.HEAD].copy(), bfloat16(x[:, : nk.HEAD].copy()), bfloat16(x[:, nk.HEAD : 128].copy())
    )
    kernels.layer_norm(x, x[0].copy(), x[7].copy())
    weights = normal(2, 5, 3 * nk.HEAD, 3)
    kernels.convolution(x, 2, kernels.convolution_pack(weights, x[7, :5].copy()), None)


def test_the_reference_and_this_processors_own_are_there() -> None:
    assert "scalar" in nk.available()
    assert nk.library().awk_kernels(b"") == nk.library().awk_kernels(nk.available()[-1].encode())
    assert not nk.library().awk_kernels(b"no such set")


# CPUID of processors: 1 ecx, 7 ebx, 7 ecx, 7.1 eax; XCR0
_FMA_AVX, _AVX2, _AVX512 = 1 << 12 | 1 << 28, 1 << 5, 1 << 5 | 1 << 16 | 1 << 17 | 1 << 30 | 1 << 31
_VNNI, _AVX_VNNI, _BF16 = 1 << 11, 1 << 4, 1 << 5


@pytest.mark.parametrize(
    ("registers", "found"),
    [
        ((0, 0, 0, 0, 0), 0),
        ((_FMA_AVX, _AVX2, 0, 0, 0x07), 1),
        ((_FMA_AVX, _AVX2, 0, _AVX_VNNI, 0x07), 3),
        ((_FMA_AVX, _AVX512, _VNNI, 0, 0xE7), 5),
        ((_FMA_AVX, _AVX512, _VNNI, _AVX_VNNI | _BF16, 0xE7), 15),
        ((_FMA_AVX, _AVX512, 0, _BF16, 0xE7), 1),  # AVX-512 without the int8 products
        ((_FMA_AVX, _AVX512, _VNNI, _AVX_VNNI | _BF16, 0x07), 3),  # the system does not save 512-bit registers
        ((_FMA_AVX, _AVX512, _VNNI, _AVX_VNNI | _BF16, 0x03), 0),  # nor 256-bit ones
        ((1 << 28, _AVX2, 0, 0, 0x07), 0),  # AVX2 without FMA
    ],
)
def test_instructions_are_used_where_processor_and_system_have_them(registers: tuple[int, ...], found: int) -> None:
    assert nk.features(*registers) == found


def test_what_is_compiled_for_more_instructions_is_called_through_its_table_alone() -> None:
    """A function that the linker could take for another file's, built with AVX-512, would end a process elsewhere."""
    for name in nk.NAMES[1:]:
        for compiled in nk.objects(name):
            listed = subprocess.run(
                ["nm", "--defined-only", compiled], capture_output=True, text=True, check=True
            ).stdout
            kinds = {line.split()[-2]: line.split()[-1] for line in listed.splitlines()}
            assert set(kinds) <= set("TtDdRrBb"), kinds
            exported = [line.split()[-1] for line in listed.splitlines() if line.split()[-2] in "TDRB"]
            assert len(exported) == 1, exported

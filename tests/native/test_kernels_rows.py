"""Layer norm, quantisation, bfloat16 and int8 products on every instruction set, against numpy and the reference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import native_kernels as nk

if TYPE_CHECKING:
    from numpy.typing import NDArray

seeds = st.integers(0, 2**32 - 1)
scales = st.sampled_from([1e-42, 1e-38, 1e-20, 1e-3, 1.0, 30.0, 1e20, 1e37])
specials = st.sampled_from([0.0, -0.0, 1e-45, -1e-40, np.inf, -np.inf, np.nan, 3.4e38])

# On each instruction set; `make explore` tries more.
few = settings(max_examples=25)


@pytest.fixture(scope="module", params=nk.NAMES)
def kernels(request: pytest.FixtureRequest) -> nk.Kernels:
    return nk.kernels(request.param)


def normal(seed: int, *shape: int, scale: float = 1.0) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def quantized(x: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """What kernels.h says of `quantize`, in numpy's float32."""
    most = np.finfo(np.float32).max
    magnitude = np.where(np.isnan(x), np.float32(0), np.abs(x))
    top = np.minimum(magnitude.max(1), most)
    top[top == 0] = 1
    with np.errstate(all="ignore"):
        steps = x * (np.float32(127) / top)[:, None]
    values = np.where(np.isnan(steps), 0, np.rint(np.clip(steps, -127, 127))).astype(np.int8)
    return values, (top / np.float32(127)).astype(np.float32)


def gelu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x / 2 * np.vectorize(math.erfc)(-x / math.sqrt(2))


@few
@given(seed=seeds, rows=st.integers(1, 5), width=st.integers(1, 130), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_layer_norm_is_numpys(kernels: nk.Kernels, seed: int, rows: int, width: int, scale: float) -> None:
    x, gamma, beta = normal(seed, rows, width, scale=scale), normal(seed + 1, width), normal(seed + 2, width)
    wide = x.astype(np.float64)
    wanted = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5) * gamma + beta
    np.testing.assert_allclose(kernels.layer_norm(x, gamma, beta), wanted, rtol=2e-4, atol=2e-4)


@few
@given(
    seed=seeds,
    rows=st.integers(1, 4),
    width=st.sampled_from([64, 128, 384]),
    scale=scales,
    odd=st.lists(st.tuples(st.integers(0, 63), specials), max_size=4),
)
def test_quantisation_is_exact(
    kernels: nk.Kernels, seed: int, rows: int, width: int, scale: float, odd: list[tuple[int, float]]
) -> None:
    x = normal(seed, rows, width, scale=scale)
    for at, value in odd:
        x[0, at] = value
    found, (values, row_scales) = kernels.quantize(x), quantized(x)
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.scales, row_scales)
    np.testing.assert_array_equal(found.sums, values.sum(1, dtype=np.int32))


@few
@given(seed=seeds, count=st.integers(1, 70), scale=st.sampled_from([1e-30, 1.0, 1e30, 3e38]), odd=specials)
def test_bfloat16_is_the_nearest(kernels: nk.Kernels, seed: int, count: int, scale: float, odd: float) -> None:
    x = normal(seed, count, scale=scale)
    x[0] = odd
    found = (kernels.to_bfloat16(x).astype(np.uint32) << 16).view(np.float32)
    assert np.isnan(found[np.isnan(x)]).all()
    bits = x.view(np.uint32).astype(np.uint64)
    wanted = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    tiny = np.abs(x) < 1.2e-38  # instructions for bfloat16 take these as zeros
    np.testing.assert_array_equal(found[~np.isnan(x) & ~tiny], wanted[~np.isnan(x) & ~tiny])
    assert (np.abs(found[tiny]) < 1.3e-38).all()


@few
@given(
    seed=seeds,
    rows=st.one_of(st.integers(1, 14), st.sampled_from([40, 95, 97])),
    inputs=st.sampled_from([64, 128, 320]),
    outputs=st.integers(1, 100),
    extreme=st.booleans(),
)
def test_sums_of_products_are_exact(
    kernels: nk.Kernels, seed: int, rows: int, inputs: int, outputs: int, extreme: bool
) -> None:
    """Also where every product is the largest there is: nothing saturates."""
    rng = np.random.default_rng(seed)
    choose = (
        (lambda *shape: rng.choice([-127, 127], shape)) if extreme else (lambda *shape: rng.integers(-127, 128, shape))
    )
    x, w = choose(rows, inputs).astype(np.int8), choose(outputs, inputs).astype(np.int8)
    if seed % 3 == 0:
        x[:] = x[0, 0]
        w[:] = w[0, 0]
    packed = kernels.linear_pack(w, np.ones(outputs, np.float32), None)
    quantized_rows = nk.Rows(nk.aligned(x), np.ones(rows, np.float32), x.sum(1, dtype=np.int32))
    found = kernels.linear(quantized_rows, packed, nk.STORE, np.full((rows, outputs), np.nan, np.float32))
    np.testing.assert_array_equal(found, (x.astype(np.int64) @ w.T.astype(np.int64)).astype(np.float32))
    for n in {0, outputs - 1}:
        np.testing.assert_array_equal(kernels.linear_row(packed, n), w[n].astype(np.float32))


@few
@given(
    seed=seeds,
    rows=st.integers(1, 30),
    outputs=st.integers(1, 140),
    then=st.sampled_from([nk.STORE, nk.ADD, nk.GELU]),
    spare=st.integers(0, 5),
    with_bias=st.booleans(),
)
def test_any_part_of_a_linear_layer_is_stored_added_or_through_gelu(
    kernels: nk.Kernels, seed: int, rows: int, outputs: int, then: int, spare: int, with_bias: bool
) -> None:
    """Columns beyond the part stay as they were."""
    rng = np.random.default_rng(seed)
    inputs = 128
    w = rng.integers(-127, 128, (outputs, inputs)).astype(np.int8)
    factors = rng.uniform(1e-4, 1e-3, outputs).astype(np.float32)
    bias = normal(seed + 1, outputs) if with_bias else None
    x = kernels.quantize(normal(seed + 2, rows, inputs))
    first = int(rng.integers(0, outputs)) // 32 * 32
    last = int(rng.integers(first + 1, outputs + 1))
    packed = kernels.linear_pack(w, factors, bias)
    before = normal(seed + 3, rows, last - first + spare)
    out = before.copy()
    kernels.linear(x, packed, then, out[:, : last - first], first)
    y = (x.values.astype(np.float64) @ w[first:last].T) * x.scales[:, None] * factors[first:last]
    y += 0 if bias is None else bias[first:last]
    wanted = y if then == nk.STORE else y + before[:, : last - first] if then == nk.ADD else gelu(y)
    np.testing.assert_allclose(out[:, : last - first], wanted, rtol=1e-5, atol=3e-6)
    np.testing.assert_array_equal(out[:, last - first :], before[:, last - first :])


@few
@given(seed=seeds, rows=st.integers(2, 29), row=st.integers(0, 28))
def test_a_row_is_the_same_alone_and_in_a_batch(kernels: nk.Kernels, seed: int, rows: int, row: int) -> None:
    row %= rows
    w = np.random.default_rng(seed).integers(-127, 128, (100, 128)).astype(np.int8)
    packed = kernels.linear_pack(w, np.full(100, 1e-3, np.float32), normal(seed, 100))
    x = kernels.quantize(normal(seed + 1, rows, 128))
    for then in (nk.STORE, nk.ADD, nk.GELU):
        together = kernels.linear(x, packed, then, np.zeros((rows, 100), np.float32))
        alone = kernels.linear(x.only(row), packed, then, np.zeros((1, 100), np.float32))
        np.testing.assert_array_equal(together[row], alone[0])


@pytest.mark.parametrize("x", [-1e30, -50.0, -6.0, -1.0, -1e-3, -1e-40, 0.0, 1e-40, 1e-3, 0.5, 3.0, 9.0, 80.0, 1e30])
def test_gelu_is_the_exact_one(kernels: nk.Kernels, x: float) -> None:
    packed = kernels.linear_pack(np.zeros((1, 64), np.int8), np.ones(1, np.float32), np.array([x], np.float32))
    found = kernels.linear(
        kernels.quantize(np.zeros((1, 64), np.float32)), packed, nk.GELU, np.empty((1, 1), np.float32)
    )
    np.testing.assert_allclose(found[0, 0], gelu(np.float64(np.float32(x))), rtol=1e-5, atol=1e-6)

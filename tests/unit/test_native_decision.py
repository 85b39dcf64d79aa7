"""The bench that decides between engines: its file for whisper.cpp, and its own arithmetic."""

from __future__ import annotations

import io
import json
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from benchmarks.native_decision import ggml
from benchmarks.native_decision.peers import STAGES, computed
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.engines.native_weights import WhisperShape, needed

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = WhisperShape(80, 64, 1, 256, 1, 2, 40, 6, 8)
TOKENS = [b"one", b" \xf0\x9f", b"\n"]
WIDTHS = {ggml.F32: 4, ggml.F16: 2}


def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in needed(SHAPE).items()}


def read(path: Path) -> tuple[tuple[int, ...], list[bytes], dict[str, np.ndarray]]:
    """As whisper.cpp reads it: numbers of the header, tokens, tensors by name as floats."""
    file = io.BytesIO(path.read_bytes())

    def numbers(count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}i", file.read(4 * count))

    head = numbers(12)
    mels, bins = numbers(2)
    file.read(4 * mels * bins)
    tokens = [file.read(numbers(1)[0]) for _ in range(numbers(1)[0])]
    found = {}
    while start := file.read(12):
        rank, length, kind = struct.unpack("<3i", start)
        shape = tuple(reversed(numbers(rank)))
        name, count = file.read(length).decode(), int(np.prod(shape))
        if kind == ggml.Q8_0:
            raw = np.frombuffer(file.read(count // 32 * 34), np.uint8).reshape(-1, 34)
            scales = raw[:, :2].copy().view(np.float16).astype(np.float32)
            found[name] = (raw[:, 2:].view(np.int8) * scales).reshape(shape)
        else:
            dtype = np.float32 if kind == ggml.F32 else np.float16
            data = file.read(count * WIDTHS[kind])
            found[name] = np.frombuffer(data, dtype).astype(np.float32).reshape(shape)
    return head, tokens, found


@pytest.mark.parametrize(("kind", "most_apart"), [("float16", 2**-11), ("int8", 1 / 127)])
def test_every_weight_is_in_the_file_for_whisper_cpp_once(tmp_path: Path, kind: str, most_apart: float) -> None:
    given_arrays, place = arrays(), tmp_path / "ggml.bin"
    ggml.write(place, SHAPE, given_arrays, TOKENS, kind)
    head, tokens, found = read(place)
    assert head == (ggml.MAGIC, 40, 6, 64, 1, 1, 8, 64, 1, 2, 80, ggml.FILE_TYPES[kind])
    assert tokens == TOKENS
    for name, array in ggml.tensors(SHAPE, given_arrays):
        assert np.abs(found.pop(name) - array).max() <= most_apart * np.abs(array).max()
    assert not found
    written = sum(array.size for _, array in ggml.tensors(SHAPE, given_arrays))
    # The projection is the embeddings, and keys have no bias.
    keys = (SHAPE.encoder_layers + 2 * SHAPE.decoder_layers) * SHAPE.width
    assert written == sum(array.size for array in given_arrays.values()) - SHAPE.vocabulary * SHAPE.width - keys


def test_projections_that_are_joined_are_taken_apart_in_their_order() -> None:
    given_arrays = arrays()
    found = dict(ggml.tensors(SHAPE, given_arrays))
    joined = given_arrays["decoder/layer_1/attention/linear_1/weight"]
    np.testing.assert_array_equal(found["decoder.blocks.1.cross_attn.key.weight"], joined[:64])
    np.testing.assert_array_equal(found["decoder.blocks.1.cross_attn.value.weight"], joined[64:])
    joined = given_arrays["encoder/layer_0/self_attention/linear_0/bias"]
    np.testing.assert_array_equal(found["encoder.blocks.0.attn.query.bias"], joined[:64])
    np.testing.assert_array_equal(found["encoder.blocks.0.attn.value.bias"], joined[128:])


@given(seed=st.integers(0, 1000), scale=st.floats(0, 1e4))
def test_a_block_of_eight_bits_is_half_a_step_off_at_most(seed: int, scale: float) -> None:
    rows = (np.random.default_rng(seed).standard_normal((3, 64)) * scale).astype(np.float32)
    raw = np.frombuffer(ggml.blocks(rows), np.uint8).reshape(-1, 34)
    scales = raw[:, :2].copy().view(np.float16).astype(np.float32)
    off = np.abs((raw[:, 2:].view(np.int8) * scales).reshape(rows.shape) - rows)
    tops = np.abs(rows.reshape(-1, 32)).max(axis=1)
    assert (off.reshape(-1, 32) <= tops[:, None] * (0.5 / 127 + 2**-11) + 127 * 2**-24).all()


def test_the_bytes_of_a_token_are_those_that_its_characters_stand_for(tmp_path: Path) -> None:
    place = tmp_path / "tokenizer.json"
    place.write_text(json.dumps({"model": {"vocab": {"\u0120caf\u00c3\u00a9": 1, "!": 0, "\u010a": 2}}}), "utf-8")
    assert ggml.text_tokens(place, 3) == [b"!", " café".encode(), b"\n"]


def test_stages_make_a_pipelines_cost() -> None:
    found = {"encode_ms": 300.0, "beam_ms": 4.0, "batch_ms": 2.0}
    assert computed(found, tokens_per_s=3, rest=0.005) == pytest.approx((0.01 + 0.012 + 0.005, 0.01 + 0.006 + 0.005))
    assert len(set(STAGES)) == len(STAGES)

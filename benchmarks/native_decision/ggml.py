"""The weights of a Whisper model as whisper.cpp reads them (its `models/convert-pt-to-ggml.py` says in which order)."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from autorag_whisper.engines.native_weights import WhisperShape

    Floats = NDArray[np.float32]

MAGIC = 0x67676D6C
F32, F16, Q8_0 = 0, 1, 8
"""Types of tensors, as ggml numbers them."""
FILE_TYPES = {"float16": 1, "int8": 2007}
"""Of the whole file; 2000 is the version of the form of 8-bit blocks."""
BLOCK = 32


def write(path: Path, shape: WhisperShape, arrays: Mapping[str, Floats], tokens: list[bytes], kind: str) -> None:
    """`arrays` by CTranslate2's names; `tokens`: the bytes of every text token; `kind`: float16 or int8 (Q8_0)."""
    from autorag_whisper.audio.features import _mel_filters

    with path.open("wb") as file:
        heads = (shape.heads, shape.encoder_layers, shape.context, shape.width, shape.heads, shape.decoder_layers)
        numbers = (shape.vocabulary, shape.positions, shape.width, *heads, shape.mels, FILE_TYPES[kind])
        file.write(struct.pack("<12i", MAGIC, *numbers))
        filters = _mel_filters(shape.mels)
        file.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
        file.write(struct.pack("<i", len(tokens)))
        for token in tokens:
            file.write(struct.pack("<i", len(token)) + token)
        for name, array in tensors(shape, arrays):
            _write_tensor(file, name, array, kind)


def tensors(shape: WhisperShape, arrays: Mapping[str, Floats]) -> Iterator[tuple[str, Floats]]:
    """Every tensor by OpenAI's name. Keys have no bias there: CTranslate2 has zeros for them."""
    for n in (1, 2):
        yield f"encoder.conv{n}.weight", arrays[f"encoder/conv{n}/weight"]
        yield f"encoder.conv{n}.bias", arrays[f"encoder/conv{n}/bias"][:, None]
    yield "decoder.token_embedding.weight", arrays["decoder/embeddings/weight"]
    for part, last, layers in (("encoder", "ln_post", shape.encoder_layers), ("decoder", "ln", shape.decoder_layers)):
        yield f"{part}.positional_embedding", arrays[f"{part}/position_encodings/encodings"]
        yield from _both(f"{part}.{last}", f"{part}/layer_norm", arrays, ("gamma", "beta"))
        for n in range(layers):
            yield from _layer(f"{part}.blocks.{n}", f"{part}/layer_{n}", arrays)


def _layer(theirs: str, ours: str, arrays: Mapping[str, Floats]) -> Iterator[tuple[str, Floats]]:
    attentions = {"attn": (f"{ours}/self_attention", ("linear_0",), "linear_1")}
    if f"{ours}/attention/linear_0/weight" in arrays:
        attentions["cross_attn"] = (f"{ours}/attention", ("linear_0", "linear_1"), "linear_2")
    for name, (source, joined, out) in attentions.items():
        yield from _both(f"{theirs}.{name}_ln", f"{source}/layer_norm", arrays, ("gamma", "beta"))
        for end in ("weight", "bias"):
            whole = np.concatenate([arrays[f"{source}/{part}/{end}"] for part in joined])
            for kind, piece in zip(("query", "key", "value"), np.split(whole, 3), strict=True):
                if (kind, end) != ("key", "bias"):
                    yield f"{theirs}.{name}.{kind}.{end}", piece
        yield from _both(f"{theirs}.{name}.out", f"{source}/{out}", arrays)
    yield from _both(f"{theirs}.mlp_ln", f"{ours}/ffn/layer_norm", arrays, ("gamma", "beta"))
    yield from _both(f"{theirs}.mlp.0", f"{ours}/ffn/linear_0", arrays)
    yield from _both(f"{theirs}.mlp.2", f"{ours}/ffn/linear_1", arrays)


def _both(
    theirs: str, ours: str, arrays: Mapping[str, Floats], ends: tuple[str, str] = ("weight", "bias")
) -> Iterator[tuple[str, Floats]]:
    for end, called in zip(("weight", "bias"), ends, strict=True):
        yield f"{theirs}.{end}", arrays[f"{ours}/{called}"]


def _write_tensor(file: BinaryIO, name: str, array: Floats, kind: str) -> None:
    is_matrix = array.ndim == 2 and name.endswith("weight")
    number, data = F32, array.astype(np.float32).tobytes()
    if array.ndim == 3 or (is_matrix and kind == "float16"):
        number, data = F16, array.astype(np.float16).tobytes()
    elif is_matrix:
        number, data = Q8_0, blocks(array)
    text = name.encode()
    file.write(struct.pack("<3i", array.ndim, len(text), number))
    file.write(struct.pack(f"<{array.ndim}i", *reversed(array.shape)) + text + data)


def blocks(array: Floats) -> bytes:
    """Q8_0: of every 32 numbers in a row one scale in float16, and 32 int8."""
    rows = array.reshape(-1, BLOCK)
    scales = np.abs(rows).max(axis=1) / 127
    steps = np.rint(rows / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)
    return np.concatenate([scales.astype(np.float16).view(np.int8).reshape(-1, 2), steps], axis=1).tobytes()


def text_tokens(tokenizer: Path, count: int) -> list[bytes]:
    """The bytes of the first `count` tokens of a `tokenizer.json` (byte-level BPE)."""
    table = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]["vocab"]
    by_id = {number: text for text, number in table.items()}
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = {chr(one): one for one in plain}
    characters |= {chr(256 + n): one for n, one in enumerate(one for one in range(256) if one not in plain)}
    return [bytes(characters[c] for c in by_id[n]) for n in range(count)]

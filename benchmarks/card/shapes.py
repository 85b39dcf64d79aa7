"""Models of the large sizes with random weights, for speed and memory, which do not depend on the values.

A model of another size is a template: its variables, with other widths and as many layers. No text comes of them, so a
measurement has to force the number of tokens.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.models import model_bin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autorag_whisper.models.model_bin import Variable

_BLOCK = 1 << 20
_FLOAT16 = int(model_bin.Kind.FLOAT16)


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a Whisper model: layers, width, attention heads, mel bands."""

    encoder_layers: int
    decoder_layers: int
    width: int
    heads: int
    mels: int = 80


SHAPES = {
    "small": Shape(12, 12, 768, 12),
    "medium": Shape(24, 24, 1024, 16),
    "large-v3": Shape(32, 32, 1280, 20, 128),
    "large-v3-turbo": Shape(32, 4, 1280, 20, 128),
}
"""As in the paper (arXiv:2212.04356) and the checkpoints' configurations."""
TINY = {"large-v3": Shape(2, 2, 128, 2, 128), "large-v3-turbo": Shape(2, 1, 128, 2, 128)}


def make(template: Path, shape: Shape, folder: Path) -> Path:
    """A model of this shape in `folder`, whose tokens are those of `template`, a multilingual model's folder."""
    if (folder / "made").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "vocabulary.txt", "vocabulary.json"):
        if (template / name).exists():
            (folder / name).write_bytes((template / name).read_bytes())
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": shape.mels}), encoding="utf-8")
    config = json.loads((template / "config.json").read_text(encoding="utf-8"))
    last = shape.decoder_layers - 1
    config["alignment_heads"] = [[last, head] for head in range(min(6, shape.heads))]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    noise = np.random.default_rng(0).normal(0.0, 0.02, _BLOCK).astype(np.float16).tobytes()
    with model_bin.opened(template / "model.bin") as (weights, data), (folder / "model.bin").open("wb") as target:
        width = weights.decoder_width
        found = [
            piece for v in weights.variables for piece in _scaled(v, data[v.at : v.at + v.size], width, shape, noise)
        ]
        model_bin.write(target, weights, found, weights.aliases)
    (folder / "made").touch()
    return folder


def _scaled(
    variable: Variable, content: bytes, width: int, shape: Shape, noise: bytes
) -> Iterator[model_bin.Piecewise]:
    """A variable of the template in the other shape; none for those of layers but the first, and for scales of int8."""
    name = variable.name
    if name.endswith("_scale"):
        return
    layer = re.fullmatch(r"(encoder|decoder)/layer_(\d+)/(.*)", name)
    if not variable.shape:
        if name.endswith("num_heads"):
            content = np.int16(shape.heads).tobytes()
        if layer is None:
            yield model_bin.Piecewise(name, (), variable.kind, len(content), [content])
        return
    names = [name]
    if layer is not None:
        if layer[2] != "0":
            return
        count = shape.encoder_layers if layer[1] == "encoder" else shape.decoder_layers
        names = [f"{layer[1]}/layer_{n}/{layer[3]}" for n in range(count)]
    sides = tuple(side // width * shape.width if _follows_width(name, n, side, width) else side
                  for n, side in enumerate(variable.shape))  # fmt: skip
    if name == "encoder/conv1/weight":
        sides = (shape.width, shape.mels, 3)
    size = 2 * int(np.prod(sides))
    for one in names:
        if one.endswith("gamma"):
            pieces: Iterator[bytes] = iter([np.ones(size // 2, np.float16).tobytes()])
        elif one.endswith(("beta", "bias")):
            pieces = iter([bytes(size)])
        else:
            pieces = _cut(noise, size)
        yield model_bin.Piecewise(one, sides, _FLOAT16, size, pieces)


def _follows_width(name: str, axis: int, side: int, width: int) -> bool:
    """Whether a side is the model's width, or a multiple of it, and not tokens, positions or the three of a kernel."""
    if axis == 0 and name.endswith(("embeddings/weight", "encodings", "projection/weight")):
        return False
    return side % width == 0


def _cut(noise: bytes, size: int) -> Iterator[bytes]:
    while size > 0:
        yield noise[:size]
        size -= len(noise)

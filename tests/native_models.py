"""Whisper networks of a few thousand numbers, as CTranslate2 writes them: every array of the real ones, at random."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.engines.native_weights import WhisperShape, needed
from autorag_whisper.models.model_bin import Kind, Piecewise, Weights, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LITTLE = WhisperShape(
    mels=4, width=16, heads=2, hidden=32, encoder_layers=1, decoder_layers=1, vocabulary=24, positions=6, context=8
)
PROJECTION, EMBEDDINGS = "decoder/projection/weight", "decoder/embeddings/weight"
NUMBERS = {
    "decoder/activation": 3,
    "decoder/alibi": 0,
    "decoder/pre_norm": 1,
    "decoder/scale_embeddings": 0,
    "decoder/start_from_zero_embedding": 0,
}


@dataclass(frozen=True)
class ModelFile:
    """A file to be written: its variables by name, and what else stands in it."""

    variables: dict[str, Piecewise]
    aliases: tuple[tuple[str, str], ...] = ((PROJECTION, EMBEDDINGS),)
    version: int = 6
    spec: str = "WhisperSpec"
    revision: int = 3

    def with_variable(self, name: str, array: np.ndarray, kind: int) -> ModelFile:
        """The same with one variable of another content."""
        return replace(self, variables=self.variables | {name: variable(name, array, kind)})

    def without(self, name: str) -> ModelFile:
        """The same without one variable."""
        return replace(self, variables={key: value for key, value in self.variables.items() if key != name})

    def to_bytes(self) -> bytes:
        target = io.BytesIO()
        like = Weights(self.version, self.spec, self.revision, (), ())
        write(target, like, list(self.variables.values()), self.aliases)
        return target.getvalue()


def variable(name: str, array: np.ndarray, kind: int) -> Piecewise:
    data = np.ascontiguousarray(array).tobytes()
    return Piecewise(name, array.shape, kind, len(data), [data])


def random_model(shape: WhisperShape = LITTLE, kind: str = "int8", seed: int = 0) -> ModelFile:
    """A network of this shape; `kind`: int8 (rows with scales), float16, bfloat16 or float32."""
    random = np.random.default_rng(seed)
    variables: dict[str, Piecewise] = {}
    for name, dimensions in needed(shape).items():
        if name == PROJECTION:
            continue
        values = random.normal(0, 1 / np.sqrt(max(1, prod(dimensions[1:]))), dimensions).astype(np.float32)
        for part in written(name, values, kind):
            variables[part.name] = part
    for name, value in NUMBERS.items():
        variables[name] = variable(name, np.array(value, np.int8), Kind.INT8)
    for part in ("encoder", "decoder"):
        name = f"{part}/num_heads"
        variables[name] = variable(name, np.array(shape.heads, np.int16), Kind.INT16)
    aliases = ((PROJECTION, EMBEDDINGS), *([(f"{PROJECTION}_scale", f"{EMBEDDINGS}_scale")] if kind == "int8" else []))
    return ModelFile(dict(sorted(variables.items())), aliases)


def written(name: str, values: np.ndarray, kind: str) -> list[Piecewise]:
    """An array as the file has it, with its scales if it is one of the matrices that become int8."""
    if kind == "int8" and values.ndim == 2 and name.endswith("weight"):
        scales = np.float32(127) / np.abs(values).max(axis=1)
        rows = np.rint(values * scales[:, None]).astype(np.int8)
        return [variable(name, rows, Kind.INT8), variable(f"{name}_scale", scales, Kind.FLOAT32)]
    if kind == "float16":
        return [variable(name, values.astype(np.float16), Kind.FLOAT16)]
    if kind == "bfloat16":
        return [variable(name, (values.view(np.uint32) >> 16).astype(np.uint16), Kind.BFLOAT16)]
    return [variable(name, values, Kind.FLOAT32)]


_SPREAD = 73.3
"""The standard deviation of int8 that are drawn evenly."""


def write_deep_model(path: Path, shape: WhisperShape, seed: int = 0) -> None:
    """A network of any depth, its matrices drawn as int8 straight away and one at a time.

    What a layer adds stays as large as what it is added to, as in networks that are trained.
    """
    random, variables = np.random.default_rng(seed), list[Piecewise]()
    for name, dimensions in needed(shape).items():
        if name == PROJECTION:
            continue
        if len(dimensions) == 2 and name.endswith("weight"):
            variables += _deep_matrix(random, name, dimensions)
        else:
            spread = 1 / sqrt(prod(dimensions[1:])) if name.endswith("weight") else 0.1
            middle = np.float32(name.endswith("gamma"))
            values = middle + random.normal(0, spread, dimensions).astype(np.float32)
            variables.append(variable(name, values, Kind.FLOAT32))
    for name, value in NUMBERS.items():
        variables.append(variable(name, np.array(value, np.int8), Kind.INT8))
    for part in ("encoder", "decoder"):
        variables.append(variable(f"{part}/num_heads", np.array(shape.heads, np.int16), Kind.INT16))
    aliases = ((PROJECTION, EMBEDDINGS), (f"{PROJECTION}_scale", f"{EMBEDDINGS}_scale"))
    with path.open("wb") as file:
        write(file, Weights(6, "WhisperSpec", 3, (), ()), variables, aliases)


def _deep_matrix(random: np.random.Generator, name: str, dimensions: tuple[int, ...]) -> list[Piecewise]:
    seed, (rows, inputs) = int(random.integers(1 << 32)), dimensions
    scales = (_SPREAD * sqrt(inputs) * random.uniform(0.8, 1.25, rows)).astype(np.float32)

    def pieces() -> Iterator[bytes]:
        yield np.random.default_rng(seed).integers(-127, 128, dimensions, np.int8).tobytes()

    return [
        Piecewise(name, dimensions, Kind.INT8, rows * inputs, pieces()),
        variable(f"{name}_scale", scales, Kind.FLOAT32),
    ]

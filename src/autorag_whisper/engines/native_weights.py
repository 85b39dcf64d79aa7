"""The weights of a Whisper model in CTranslate2's form, as named arrays over the file's own pages, every one checked.

Whatever the file says is held against what the network needs before a byte of it is used: the names, the shapes, the
sizes, the types, and that every number is one. What a native library is given is then known to be whole.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.models import model_bin
from autorag_whisper.models.model_bin import BrokenFileError, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from autorag_whisper.models.model_bin import Variable, Weights

NEWEST_VERSION, NEWEST_REVISION = 6, 3
"""Of the file's form, and of Whisper's network in it, that this module reads."""

CONTEXT, FRAMES = 448, 1500
"""Tokens that the decoder takes, and encoder frames of the full window, in every Whisper."""
_HEAD_WIDTH, _MELS_TOGETHER = 64, 16

_SPEC = "WhisperSpec"
_GELU = 3
_EMBEDDINGS, _PROJECTION = "decoder/embeddings/weight", "decoder/projection/weight"
_TYPES: dict[int, type[np.generic]] = {
    Kind.FLOAT32: np.float32,
    Kind.INT8: np.int8,
    Kind.INT16: np.int16,
    Kind.INT32: np.int32,
    Kind.FLOAT16: np.float16,
    Kind.BFLOAT16: np.uint16,
}
_FLOATS = (Kind.FLOAT32, Kind.FLOAT16, Kind.BFLOAT16)
_MOST_WIDTH, _MOST_LAYERS, _MOST_VOCABULARY, _MOST_MELS = 4096, 128, 1 << 20, 1024
"""Far beyond every Whisper; what a file says above this is no size."""

_LEAST_SCALE = np.float32(128) / np.finfo(np.float32).max
"""By a smaller one an int8 is no float32 any more."""


class UnsupportedWeightsError(ValueError):
    """The file may be whole, but it is no network that the native engine computes."""


@dataclass(frozen=True, slots=True)
class WhisperShape:
    """The sizes of a network. `positions`: encoder frames of the full window; `context`: tokens the decoder takes."""

    mels: int
    width: int
    heads: int
    hidden: int
    encoder_layers: int
    decoder_layers: int
    vocabulary: int
    positions: int
    context: int


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One array of the network, over the pages of the file, which stay mapped as long as there is such an array.

    `data`: float32, float16, int8, or the bits of bfloat16 as uint16; `scales`: of int8[rows, columns] float32[rows],
    what each row was multiplied by, else None.
    """

    data: NDArray[np.generic]
    scales: NDArray[np.float32] | None = None

    def equals(self, other: Tensor) -> bool:
        """Whether both have the same numbers, as they are stored."""
        pairs = [(self.data, other.data)]
        if self.scales is not None and other.scales is not None:
            pairs.append((self.scales, other.scales))
        same_kind = (self.scales is None) is (other.scales is None)
        return same_kind and all(a.ctypes.data == b.ctypes.data or np.array_equal(a, b) for a, b in pairs)

    def as_float32(self) -> NDArray[np.float32]:
        """A copy in float32, of the same shape."""
        if self.data.dtype == np.uint16:
            return (self.data.astype(np.uint32) << np.uint32(16)).view(np.float32)
        values = np.array(self.data, np.float32, order="C")
        return values if self.scales is None else values / self.scales[:, None]


@dataclass(frozen=True, slots=True, eq=False)
class WhisperWeights:
    """A whole network: its shape, and its arrays by CTranslate2's names, `decoder/projection/weight` among them."""

    shape: WhisperShape
    tensors: Mapping[str, Tensor]


def read_weights(path: Path) -> WhisperWeights:
    """The weights in `path`, a `model.bin`; nothing is copied.

    Raises BrokenFileError where the file is damaged or is no Whisper model, UnsupportedWeightsError where it is one
    that the native engine does not compute, OSError where it cannot be read.
    """
    with path.open("rb") as file:
        weights = model_bin.read(file)
        _check_form(weights)
        # Never closed by hand: the pages go with the last array over them.
        table = _Table(weights, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    shape = _shape(table)
    _check_kind_of_network(table)
    return WhisperWeights(shape, {name: table.tensor(name, size) for name, size in needed(shape).items()})


def needed(shape: WhisperShape) -> dict[str, tuple[int, ...]]:
    """Every array of a network of these sizes, by CTranslate2's name, and its shape: matrices are (outputs, inputs)."""
    width = shape.width
    found: dict[str, tuple[int, ...]] = {
        "encoder/conv1/weight": (width, shape.mels, 3),
        "encoder/conv1/bias": (width,),
        "encoder/conv2/weight": (width, width, 3),
        "encoder/conv2/bias": (width,),
        "encoder/position_encodings/encodings": (shape.positions, width),
        "decoder/position_encodings/encodings": (shape.context, width),
        _EMBEDDINGS: (shape.vocabulary, width),
        _PROJECTION: (shape.vocabulary, width),
    }
    for part, layers in (("encoder", shape.encoder_layers), ("decoder", shape.decoder_layers)):
        found |= _norm(f"{part}/layer_norm", width)
        for n in range(layers):
            layer = f"{part}/layer_{n}"
            found |= _norm(f"{layer}/self_attention/layer_norm", width)
            found |= _linear(f"{layer}/self_attention/linear_0", 3 * width, width)
            found |= _linear(f"{layer}/self_attention/linear_1", width, width)
            if part == "decoder":
                found |= _norm(f"{layer}/attention/layer_norm", width)
                found |= _linear(f"{layer}/attention/linear_0", width, width)
                found |= _linear(f"{layer}/attention/linear_1", 2 * width, width)
                found |= _linear(f"{layer}/attention/linear_2", width, width)
            found |= _norm(f"{layer}/ffn/layer_norm", width)
            found |= _linear(f"{layer}/ffn/linear_0", shape.hidden, width)
            found |= _linear(f"{layer}/ffn/linear_1", width, shape.hidden)
    return found


def require_computed(shape: WhisperShape) -> None:
    """See that the library computes a network of these sizes: it takes some of them as every Whisper has them.

    Raises UnsupportedWeightsError.
    """
    refused = {
        f"has heads {shape.width / shape.heads:g} wide, not {_HEAD_WIDTH}": shape.width != _HEAD_WIDTH * shape.heads,
        f"has a hidden layer of {shape.hidden:,}, not four times its width": shape.hidden != 4 * shape.width,
        f"has a window of {shape.positions:,} encoder frames, not {FRAMES:,}": shape.positions != FRAMES,
        f"has a decoder for {shape.context:,} tokens, not {CONTEXT}": shape.context != CONTEXT,
        f"has {shape.mels} mel bands, no multiple of {_MELS_TOGETHER}": shape.mels % _MELS_TOGETHER != 0,
    }
    for reason, is_so in refused.items():
        if is_so:
            raise UnsupportedWeightsError(reason)


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/gamma": (width,), f"{name}/beta": (width,)}


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/weight": (outputs, inputs), f"{name}/bias": (outputs,)}


def _check_form(weights: Weights) -> None:
    if weights.spec != _SPEC:
        raise BrokenFileError(f"is not a Whisper model but {weights.spec[:40]!r}")
    if weights.version > NEWEST_VERSION:
        raise UnsupportedWeightsError(f"is of binary version {weights.version}, newer than {NEWEST_VERSION}")
    if weights.revision > NEWEST_REVISION:
        raise UnsupportedWeightsError(f"is of revision {weights.revision}, newer than {NEWEST_REVISION}")


class _Table:
    """The variables of a file by name, each looked at when it is asked for."""

    def __init__(self, weights: Weights, data: mmap.mmap) -> None:
        self._data = data
        self._variables: dict[str, Variable] = {}
        for variable in weights.variables:
            if variable.name in self._variables:
                raise BrokenFileError(f"has the variable {variable.name} twice")
            self._variables[variable.name] = variable
        self._aliases = dict(weights.aliases)
        self.layers = {part: weights.layers(part) for part in ("encoder", "decoder")}

    def has(self, name: str) -> bool:
        """Whether it is there, itself or under another name."""
        return self._named(name) in self._variables

    def shape(self, name: str, rank: int) -> tuple[int, ...]:
        """The shape of a variable that has this rank. Raises BrokenFileError."""
        found = self._variable(name).shape
        if len(found) != rank:
            raise BrokenFileError(f"has a variable {name} of {len(found)} dimensions, not {rank}")
        return found

    def number(self, name: str, default: int) -> int:
        """A whole number that the file states, or the default of the engine's own reader."""
        if not self.has(name):
            return default
        variable = self._variable(name)
        array = self._array(variable)
        if array.size != 1 or array.dtype.kind != "i":
            raise BrokenFileError(f"has no whole number in {variable.name}")
        return int(array.reshape(()))

    def tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """An array of this shape, with its scales if it has been quantized.

        Raises BrokenFileError, and UnsupportedWeightsError for a type that the native engine does not compute.
        """
        variable = self._variable(name)
        if variable.shape != shape:
            raise BrokenFileError(f"has {variable.name} of shape {variable.shape}, not {shape}")
        data = self._array(variable)
        if variable.kind in _FLOATS:
            _check_finite(variable.name, data)
            return Tensor(data)
        if variable.kind == Kind.INT8 and len(shape) == 2:
            return Tensor(data, self._scales(variable.name, shape[0]))
        raise UnsupportedWeightsError(f"has {variable.name} as {Kind(variable.kind).name.lower()}")

    def _scales(self, name: str, rows: int) -> NDArray[np.float32]:
        variable = self._variable(f"{name}_scale")
        if variable.shape != (rows,) or variable.kind != Kind.FLOAT32:
            raise BrokenFileError(f"has no scale for each row of {name}")
        scales = self._array(variable).view(np.float32)
        if not (np.isfinite(scales) & (scales >= _LEAST_SCALE)).all():
            raise BrokenFileError(f"has a scale of {name} that is no positive number")
        return scales

    def _variable(self, name: str) -> Variable:
        variable = self._variables.get(self._named(name))
        if variable is None:
            raise BrokenFileError(f"lacks the variable {name}")
        return variable

    def _named(self, name: str) -> str:
        return name if name in self._variables else self._aliases.get(name, name)

    def _array(self, variable: Variable) -> NDArray[np.generic]:
        """Over the file's pages. Raises BrokenFileError where its size is not what its shape and its type need."""
        dtype = _TYPES.get(variable.kind)
        if dtype is None:
            raise BrokenFileError(f"has {variable.name} of the unknown type {variable.kind}")
        count = prod(variable.shape)
        if count * np.dtype(dtype).itemsize != variable.size:
            raise BrokenFileError(f"has {variable.name} of shape {variable.shape} in {variable.size:,} bytes")
        if not count:
            raise BrokenFileError(f"has {variable.name} without a number in it")
        return np.frombuffer(self._data, dtype, count, variable.at).reshape(variable.shape)


def _check_finite(name: str, data: NDArray[np.generic]) -> None:
    is_bfloat16 = data.dtype == np.uint16
    if not (data.view(np.uint16) & 0x7F80 != 0x7F80 if is_bfloat16 else np.isfinite(data)).all():
        raise BrokenFileError(f"has a value in {name} that is no number")


def _shape(table: _Table) -> WhisperShape:
    """The sizes, read from the shapes of a few arrays. Raises BrokenFileError where they are none."""
    width, mels, _ = table.shape("encoder/conv1/weight", 3)
    heads = {part: table.number(f"{part}/num_heads", 8) for part in ("encoder", "decoder")}
    shape = WhisperShape(
        mels=mels,
        width=width,
        heads=heads["encoder"],
        hidden=table.shape("encoder/layer_0/ffn/linear_0/weight", 2)[0],
        encoder_layers=table.layers["encoder"],
        decoder_layers=table.layers["decoder"],
        vocabulary=table.shape(_EMBEDDINGS, 2)[0],
        positions=table.shape("encoder/position_encodings/encodings", 2)[0],
        context=table.shape("decoder/position_encodings/encodings", 2)[0],
    )
    sizes = (
        ("width", width, _MOST_WIDTH),
        ("hidden layer", shape.hidden, 16 * _MOST_WIDTH),
        ("number of mel bands", mels, _MOST_MELS),
        ("number of encoder layers", shape.encoder_layers, _MOST_LAYERS),
        ("number of decoder layers", shape.decoder_layers, _MOST_LAYERS),
        ("vocabulary", shape.vocabulary, _MOST_VOCABULARY),
        ("number of encoder positions", shape.positions, 1 << 16),
        ("decoder's context", shape.context, 1 << 16),
        ("number of heads", shape.heads, width),
    )
    for what, size, most in sizes:
        if not 0 < size <= most:
            raise BrokenFileError(f"has a {what} of {size:,}")
    if width % shape.heads or heads["decoder"] != shape.heads:
        raise UnsupportedWeightsError(f"has {shape.heads} and {heads['decoder']} heads over a width of {width}")
    return shape


def _check_kind_of_network(table: _Table) -> None:
    """Whisper's decoder as CTranslate2 describes it; a file that asks for another is none of Whisper's."""
    wanted = {"activation": _GELU, "pre_norm": 1, "alibi": 0, "scale_embeddings": 0, "start_from_zero_embedding": 0}
    for name, value in wanted.items():
        found = table.number(f"decoder/{name}", value)
        if found != value:
            raise UnsupportedWeightsError(f"asks for a decoder with {name} {found}, not {value}")
    if table.has("decoder/projection/bias"):
        raise UnsupportedWeightsError("has a bias of the vocabulary's projection")

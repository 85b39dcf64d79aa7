"""Whisper in PyTorch, as plain as it can be, for export to ONNX. Run in the peers' environment.

The decoder has the form that is cheapest for a runtime: projections joined as CTranslate2's weights have them, keys of
the audio kept transposed, and the beams of a window as the rows of one product with its keys and values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional as f

if TYPE_CHECKING:
    from pathlib import Path

HEAD = 64


class Weights(nn.Module):
    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.width = arrays["encoder/conv1/bias"].size
        for name, array in arrays.items():
            self.register_buffer(name.replace("/", "__"), torch.from_numpy(np.ascontiguousarray(array)))

    def of(self, name: str) -> torch.Tensor:
        return getattr(self, name.replace("/", "__"))

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return f.linear(x, self.of(f"{name}/weight"), self.of(f"{name}/bias"))

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return f.layer_norm(x, (self.width,), self.of(f"{name}/gamma"), self.of(f"{name}/beta"))

    def feed_forward(self, layer: str, x: torch.Tensor) -> torch.Tensor:
        wide = f.gelu(self.linear(f"{layer}/ffn/linear_0", self.norm(f"{layer}/ffn/layer_norm", x)))
        return x + self.linear(f"{layer}/ffn/linear_1", wide)


def count_layers(arrays: dict[str, np.ndarray], part: str) -> int:
    return sum(name.startswith(f"{part}/layer_") and name.endswith("ffn/linear_0/bias") for name in arrays)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """q [.., n, 64], k [.., 64, m] (transposed), v [.., m, 64]."""
    return torch.softmax(torch.matmul(q * 0.125, k), -1) @ v


class Encoder(Weights):
    """mel [1, mels, 3000] -> for each decoder layer keys [1, heads, 64, 1500] and values [1, heads, 1500, 64]."""

    def __init__(self, arrays: dict[str, np.ndarray], *, with_keys: bool) -> None:
        super().__init__(arrays)
        self.layers, self.decoder_layers = count_layers(arrays, "encoder"), count_layers(arrays, "decoder")
        self.with_keys = with_keys

    def split(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(1, 1500, self.width // HEAD, HEAD).transpose(1, 2)

    def forward(self, mel: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = f.gelu(f.conv1d(mel, self.of("encoder/conv1/weight"), self.of("encoder/conv1/bias"), padding=1))
        x = f.gelu(f.conv1d(x, self.of("encoder/conv2/weight"), self.of("encoder/conv2/bias"), stride=2, padding=1))
        x = x.transpose(1, 2) + self.of("encoder/position_encodings/encodings")
        for n in range(self.layers):
            layer = f"encoder/layer_{n}"
            joined = self.linear(f"{layer}/self_attention/linear_0", self.norm(f"{layer}/self_attention/layer_norm", x))
            q, k, v = (self.split(piece) for piece in joined.split(self.width, 2))
            heard = attend(q, k.transpose(2, 3), v).transpose(1, 2).reshape(1, 1500, self.width)
            x = self.feed_forward(layer, x + self.linear(f"{layer}/self_attention/linear_1", heard))
        x = self.norm("encoder/layer_norm", x)
        if not self.with_keys:
            return (x,)
        found = []
        for n in range(self.decoder_layers):
            k, v = (
                self.split(piece)
                for piece in self.linear(f"decoder/layer_{n}/attention/linear_1", x).split(self.width, 2)
            )
            found += [k.transpose(2, 3), v]
        return tuple(found)


class Step(Weights):
    """One token for each of `windows x beams` rows; past keys and values grow by one.

    tokens int64[rows, 1], place int64[1], audio keys and values of each layer [windows, ...], past keys
    [rows, heads, t, 64] and values alike -> logits [rows, vocabulary], new keys and values.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        super().__init__(arrays)
        self.layers = count_layers(arrays, "decoder")

    def forward(self, tokens: torch.Tensor, place: torch.Tensor, *kept: torch.Tensor) -> tuple[torch.Tensor, ...]:
        heads = self.width // HEAD
        audio, past = kept[: 2 * self.layers], kept[2 * self.layers :]
        x = f.embedding(tokens, self.of("decoder/embeddings/weight"))
        x = x + self.of("decoder/position_encodings/encodings")[place]
        grown = []
        for n in range(self.layers):
            layer = f"decoder/layer_{n}"
            joined = self.linear(f"{layer}/self_attention/linear_0", self.norm(f"{layer}/self_attention/layer_norm", x))
            q, k, v = (piece.reshape(-1, heads, 1, HEAD) for piece in joined.split(self.width, 2))
            k, v = torch.cat([past[2 * n], k], 2), torch.cat([past[2 * n + 1], v], 2)
            grown += [k, v]
            x = x + self.linear(
                f"{layer}/self_attention/linear_1", attend(q, k.transpose(2, 3), v).reshape(-1, 1, self.width)
            )
            q = self.linear(f"{layer}/attention/linear_0", self.norm(f"{layer}/attention/layer_norm", x))
            windows = audio[2 * n].shape[0]
            q = q.reshape(windows, -1, heads, HEAD).transpose(1, 2)
            heard = attend(q, audio[2 * n], audio[2 * n + 1]).transpose(1, 2).reshape(-1, 1, self.width)
            x = self.feed_forward(layer, x + self.linear(f"{layer}/attention/linear_2", heard))
        logits = f.linear(self.norm("decoder/layer_norm", x)[:, 0], self.of("decoder/embeddings/weight"))
        return (logits, *grown)


def export(folder: Path) -> dict[str, Path]:
    """`encoder.onnx` (with keys and values) and `step.onnx` in float32, made where they are missing."""
    places = {name: folder / f"{name}.onnx" for name in ("encoder", "step")}
    if all(place.exists() for place in places.values()):
        return places
    with np.load(folder / "weights.npz") as kept:
        arrays = {name: kept[name] for name in kept.files}
    layers, width = count_layers(arrays, "decoder"), arrays["encoder/conv1/bias"].size
    mels, heads = arrays["encoder/conv1/weight"].shape[1], width // HEAD
    audio = [name for n in range(layers) for name in (f"audio_k{n}", f"audio_v{n}")]
    past = [name for n in range(layers) for name in (f"past_k{n}", f"past_v{n}")]
    grown = [name for n in range(layers) for name in (f"new_k{n}", f"new_v{n}")]
    with torch.no_grad():
        encoder = Encoder(arrays, with_keys=True).eval()
        torch.onnx.export(
            encoder, (torch.zeros(1, mels, 3000),), places["encoder"], input_names=["mel"], output_names=audio,
            opset_version=17, dynamo=False,
        )  # fmt: skip
        shapes = [(2, heads, HEAD, 1500), (2, heads, 1500, HEAD)] * layers + [(6, heads, 4, HEAD)] * 2 * layers
        given = (torch.zeros(6, 1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64), *map(torch.zeros, shapes))
        axes = {"tokens": {0: "rows"}} | {name: {0: "windows"} for name in audio}
        axes |= {name: {0: "rows", 2: "t"} for name in (*past, *grown)} | {"logits": {0: "rows"}}
        torch.onnx.export(
            Step(arrays).eval(), given, places["step"], input_names=["tokens", "place", *audio, *past],
            output_names=["logits", *grown], dynamic_axes=axes, opset_version=17, dynamo=False,
        )  # fmt: skip
    return places

"""Whisper and its searches in plain numpy: what the library of the CPU engine is held against.

Networks are small and at random. Weights are rounded to 8 bits as the library has them, and so are the inputs of every
product with them; all else is float32, so only its 16-bit storage and its 8-bit keys and values set the library apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

HEAD = 64


def random_tensors(
    seed: int, *, mels: int, width: int, layers: int, vocabulary: int, frames: int, context: int
) -> dict[str, Floats]:
    """Every array of a network, by CTranslate2's names. Its logits are far enough apart to have a most likely token."""
    random = np.random.default_rng(seed)

    def drawn(*shape: int, scale: float = 1.0) -> Floats:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    found: dict[str, Floats] = {
        "encoder/conv1/weight": drawn(width, mels, 3, scale=1 / math.sqrt(3 * mels)),
        "encoder/conv1/bias": drawn(width, scale=0.1),
        "encoder/conv2/weight": drawn(width, width, 3, scale=1 / math.sqrt(3 * width)),
        "encoder/conv2/bias": drawn(width, scale=0.1),
        "encoder/position_encodings/encodings": drawn(frames, width, scale=0.3),
        "decoder/position_encodings/encodings": drawn(context, width, scale=0.5),
        "decoder/embeddings/weight": drawn(vocabulary, width, scale=0.5),
    }

    def norm(name: str) -> None:
        found[f"{name}/gamma"], found[f"{name}/beta"] = 1 + drawn(width, scale=0.1), drawn(width, scale=0.1)

    def linear(name: str, outputs: int, inputs: int) -> None:
        found[f"{name}/weight"] = drawn(outputs, inputs, scale=1.5 / math.sqrt(inputs))
        found[f"{name}/bias"] = drawn(outputs, scale=0.1)

    for part in ("encoder", "decoder"):
        norm(f"{part}/layer_norm")
        for n in range(layers):
            layer = f"{part}/layer_{n}"
            norm(f"{layer}/self_attention/layer_norm")
            linear(f"{layer}/self_attention/linear_0", 3 * width, width)
            linear(f"{layer}/self_attention/linear_1", width, width)
            if part == "decoder":
                norm(f"{layer}/attention/layer_norm")
                linear(f"{layer}/attention/linear_0", width, width)
                linear(f"{layer}/attention/linear_1", 2 * width, width)
                linear(f"{layer}/attention/linear_2", width, width)
            norm(f"{layer}/ffn/layer_norm")
            linear(f"{layer}/ffn/linear_0", 4 * width, width)
            linear(f"{layer}/ffn/linear_1", width, 4 * width)
    return found


def rounded(rows: Floats) -> Floats:
    """Each row in 255 steps, its largest value 127 of them."""
    top = np.abs(rows).max(axis=1, keepdims=True)
    top[top == 0] = 1
    return (np.rint(rows * (np.float32(127) / top)) * (top / np.float32(127))).astype(np.float32)


def gelu(x: Floats) -> Floats:
    """The exact one, with the error function of Abramowitz and Stegun 7.1.26 (error below 2e-7)."""
    z = np.abs(x.astype(np.float64)) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    powers = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.asarray(x / 2 * (1 + np.sign(x) * (1 - powers * np.exp(-z * z))), np.float32)


def softmax(x: Floats) -> Floats:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


class Network:
    """Of `random_tensors`."""

    def __init__(self, tensors: dict[str, Floats]) -> None:
        self._tensors = tensors
        self._matrices = {
            name: rounded(array) for name, array in tensors.items() if array.ndim == 2 and "weight" in name
        }

    def layers(self, part: str) -> int:
        return sum(name.startswith(f"{part}/layer_") and name.endswith("ffn/linear_0/bias") for name in self._tensors)

    def _norm(self, name: str, x: Floats) -> Floats:
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return np.asarray(scaled * self._tensors[f"{name}/gamma"] + self._tensors[f"{name}/beta"], np.float32)

    def _linear(self, name: str, x: Floats) -> Floats:
        return np.asarray(rounded(x) @ self._matrices[f"{name}/weight"].T + self._tensors[f"{name}/bias"], np.float32)

    def _convolution(self, name: str, x: Floats, step: int) -> Floats:
        weight, padded = self._tensors[f"{name}/weight"], np.pad(x, ((1, 1), (0, 0)))
        count = -(-len(x) // step)
        windows = np.stack([padded[n * step : n * step + 3] for n in range(count)])  # [count, 3, in]
        return gelu(np.einsum("tki,oik->to", windows, weight) + self._tensors[f"{name}/bias"])

    def encode(self, mel: Floats) -> Floats:
        """[mels, frames] -> [frames / 2, width]"""
        x = self._convolution("encoder/conv2", self._convolution("encoder/conv1", mel.T, 1), 2)
        x += self._tensors["encoder/position_encodings/encodings"][: len(x)]
        for n in range(self.layers("encoder")):
            layer = f"encoder/layer_{n}"
            x = self._attend_to_itself(layer, x, None)
            x = self._feed_forward(layer, x)
        return self._norm("encoder/layer_norm", x)

    def logits(self, encoded: Floats, tokens: Sequence[int], bonds: list[Floats] | None = None) -> Floats:
        """[tokens, vocabulary], after each token; `bonds` takes each layer's attention [heads, tokens, frames]."""
        embeddings = self._matrices["decoder/embeddings/weight"]
        x = embeddings[list(tokens)] + self._tensors["decoder/position_encodings/encodings"][: len(tokens)]
        ahead = np.triu(np.full((len(tokens), len(tokens)), -np.inf, np.float32), 1)
        for n in range(self.layers("decoder")):
            layer = f"decoder/layer_{n}"
            x = self._attend_to_itself(layer, x, ahead)
            query = self._linear(f"{layer}/attention/linear_0", self._norm(f"{layer}/attention/layer_norm", x))
            keys, values = np.split(self._linear(f"{layer}/attention/linear_1", encoded), 2, axis=1)
            attended, bond = _attention(query, keys, values, None)
            if bonds is not None:
                bonds.append(bond)
            x = x + self._linear(f"{layer}/attention/linear_2", attended)
            x = self._feed_forward(layer, x)
        return np.asarray(rounded(self._norm("decoder/layer_norm", x)) @ embeddings.T, np.float32)

    def _attend_to_itself(self, layer: str, x: Floats, mask: Floats | None) -> Floats:
        projected = self._linear(
            f"{layer}/self_attention/linear_0", self._norm(f"{layer}/self_attention/layer_norm", x)
        )
        attended, _ = _attention(*np.split(projected, 3, axis=1), mask)
        return x + self._linear(f"{layer}/self_attention/linear_1", attended)

    def _feed_forward(self, layer: str, x: Floats) -> Floats:
        wide = gelu(self._linear(f"{layer}/ffn/linear_0", self._norm(f"{layer}/ffn/layer_norm", x)))
        return x + self._linear(f"{layer}/ffn/linear_1", wide)


def _attention(q: Floats, k: Floats, v: Floats, mask: Floats | None) -> tuple[Floats, Floats]:
    """What each query finds, [rows, width], and its weights, [heads, rows, keys]."""
    heads = q.shape[1] // HEAD
    q, k, v = (x.reshape(len(x), heads, HEAD).transpose(1, 0, 2) for x in (q, k, v))
    weights = softmax(q @ k.transpose(0, 2, 1) / 8 + (0 if mask is None else mask))
    return (weights @ v).transpose(1, 0, 2).reshape(q.shape[1], -1), weights


# -------------------------------------------------------------------------------------------- CTranslate2's searches


@dataclass(frozen=True)
class Wanted:
    """The options of a search, and its special tokens."""

    end: int
    beams: int = 1
    most: int = 12
    patience: float = 1.0
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    suppressed: tuple[int, ...] = ()
    suppressed_first: tuple[int, ...] = ()


@dataclass
class Beam:
    tokens: tuple[int, ...]
    total: float = 0.0
    told: list[float] = field(default_factory=list)


def log_probabilities(logits: Floats, written: Sequence[int], wanted: Wanted, *, first: bool) -> Floats:
    """What CTranslate2's logits processors and its log-softmax make of one row of logits."""
    row = logits.astype(np.float32).copy()
    if wanted.repetition_penalty != 1:
        for token in set(written):
            row[token] *= wanted.repetition_penalty if row[token] < 0 else 1 / wanted.repetition_penalty
    size = wanted.no_repeat_ngram
    if size and len(written) >= size:
        tail = tuple(written[len(written) - size + 1 :])
        for n in range(len(written) - size + 1):
            if tuple(written[n : n + size - 1]) == tail:
                row[written[n + size - 1]] = -np.inf
    row[list(wanted.suppressed)] = -np.inf
    if first:
        row[list(wanted.suppressed_first)] = -np.inf
    top = row.max()
    return np.asarray(row - top - np.log(np.exp(row - top).sum()), np.float32)


def scored(total: float, text: Beam, wanted: Wanted) -> float:
    divisor = float(len(text.tokens)) ** wanted.length_penalty
    return total / divisor if divisor else -math.inf


def greedy(follow: Callable[[Sequence[int]], Floats], prefix: tuple[int, ...], wanted: Wanted) -> Beam:
    text = Beam(prefix)
    while len(text.tokens) < wanted.most:
        row = log_probabilities(follow(text.tokens), text.tokens, wanted, first=text.tokens == prefix)
        token = int(row.argmax())
        text.total += float(row[token])
        if token == wanted.end:
            break
        text.tokens, text.told = (*text.tokens, token), [*text.told, float(row[token])]
    return text


def beam_search(
    follow: Callable[[Sequence[int]], Floats], prefix: tuple[int, ...], wanted: Wanted
) -> tuple[Beam, float]:
    """The best text and its score. `BeamSearch::search` of CTranslate2, one row, hypotheses as tuples."""
    width, beams, done, top_finished = wanted.beams, [Beam(prefix)], list[tuple[float, Beam]](), False
    enough = max(1, math.floor(width * wanted.patience + 0.5))
    for step in range(len(prefix), wanted.most):
        first = step == len(prefix)
        ways: list[tuple[float, int, int, float]] = []
        for n, beam in enumerate(beams):
            row = log_probabilities(follow(beam.tokens), beam.tokens, wanted, first=first)
            ways += [
                (float(np.float32(beam.total) + row[t]), n, int(t), float(row[t]))
                for t in np.argsort(-row)[: 2 * width]
            ]
        ways = sorted(ways, key=lambda way: -way[0])[: 2 * width]
        if first and prefix:
            ways = [(-1e10, 0, 0, -1e10) if k and way[2] == wanted.end else way for k, way in enumerate(ways)]
        last, spare, following = step + 1 == wanted.most, width, list[Beam]()
        for k in range(width):
            way = ways[k]
            if way[2] == wanted.end or last:
                top_finished = top_finished or k == 0
                kept = () if way[2] == wanted.end else (way[2],)
                text = Beam((*beams[way[1]].tokens, *kept), way[0])
                done.append((scored(way[0], text, wanted), text))
                for j in range(spare, len(ways)):
                    if ways[j][2] != wanted.end:
                        way, spare = ways[j], j + 1
                        break
            following.append(Beam((*beams[way[1]].tokens, way[2]), way[0]))
        over = top_finished if wanted.length_penalty == 0 else len(done) >= enough
        if last or over:
            break
        beams = following
    score, text = max(done, key=lambda one: one[0])
    return text, score

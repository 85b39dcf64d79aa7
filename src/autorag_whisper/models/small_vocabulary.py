"""A model that only spells: a Whisper folder whose decoder knows few tokens, and whose encoder is a stump.

Half of what base's decoder computes for a token is how likely each of 51,865 tokens would be, which nobody asks while a
text is being aligned letter by letter. Whisper's tokens are numbered by how early they were merged, so the first few
thousand hold every byte and the commonest pieces of words: what remains has the numbers that it had.

```
tokens of the model   0 ......... kept ............ | end of text, start, languages, tasks, ... | times
of the small one      0 ......... kept | end of text, start, languages, tasks, ...
```

The engine's `align` takes encoder output as it is, so no more of the encoder is kept than its loader demands. The
format of `model.bin` stands in `models.check`.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import shutil
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Sequence

KEPT = 4096
_END, _TIMES = "<|endoftext|>", "<|notimestamps|>"
_EMBEDDINGS = "decoder/embeddings/"
_FORMAT = "1"
"""Counted up when what is made changes: folders that were made before are then made anew."""


@dataclass(frozen=True, slots=True)
class SmallVocabulary:
    """A folder that spells, and its token ids: the first `kept` are the model's, those from `end` on follow them."""

    folder: Path
    kept: int
    end: int

    def knows(self, token_ids: Sequence[int]) -> bool:
        """Whether these text tokens are among those that were kept."""
        return max(token_ids, default=0) < self.kept

    def special(self, token_id: int) -> int:
        """The id of one of the model's tokens that are not text."""
        return token_id - self.end + self.kept


def with_small_vocabulary(folder: Path, cache_dir: Path) -> SmallVocabulary | None:
    """The folder in `cache_dir` that spells for `folder`; made once, again when the model's files change.

    None where it would not be worth it. Raises OSError where it cannot be made, ValueError where the model is not what
    this module knows.
    """
    if not _is_worth_it(folder):
        return None
    tokens, vocabulary = _read_vocabulary(folder)
    end, times = tokens.index(_END), tokens.index(_TIMES) + 1
    if end < KEPT:
        return None
    place = cache_dir / "spelling" / _fingerprint(folder)
    if not place.is_dir():
        kept = [*range(KEPT), *range(end, times)]
        _make(folder, place, kept, [tokens[n] for n in kept], vocabulary)
    return SmallVocabulary(place, KEPT, end)


def decoder_shape(folder: Path) -> tuple[int, int]:
    """Layers of a model's decoder, and heads of one, 64 wide in every Whisper. Raises OSError, KeyError, ValueError."""
    layers, width = _weights_of(folder).decoder
    return layers, width // 64


def _is_worth_it(folder: Path) -> bool:
    return _weights_of(folder).is_mostly_vocabulary


def _weights_of(folder: Path) -> _Weights:
    with (folder / "model.bin").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _Reader(data).weights()


def _read_vocabulary(folder: Path) -> tuple[list[str], str]:
    """The tokens in their order, and the name of their file."""
    listed = folder / "vocabulary.json"
    if listed.is_file():
        tokens = json.loads(listed.read_bytes())
        if not isinstance(tokens, list):
            raise ValueError("vocabulary.json is no list")
        return tokens, listed.name
    text = (folder / "vocabulary.txt").read_text(encoding="utf-8")
    return text.removesuffix("\n").split("\n"), "vocabulary.txt"


def _fingerprint(folder: Path) -> str:
    """By place, size and time of the weights, and by the configuration, which names the alignment heads."""
    stat = (folder / "model.bin").stat()
    told = [_FORMAT, str(KEPT), str(folder.absolute()), str(stat.st_size), str(stat.st_mtime_ns)]
    return hashlib.sha256("\n".join(told).encode() + (folder / "config.json").read_bytes()).hexdigest()[:16]


def _make(folder: Path, place: Path, kept: list[int], tokens: list[str], vocabulary: str) -> None:
    """Built beside its place and renamed: whole, or not there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{place.name}.tmp-", dir=place.parent))
    try:
        with (folder / "model.bin").open("rb") as source, (building / "model.bin").open("wb") as target:
            _cut(source, target, kept)
        listed = json.dumps(tokens) if vocabulary.endswith(".json") else "\n".join(tokens) + "\n"
        (building / vocabulary).write_text(listed, encoding="utf-8")
        heads = json.loads((folder / "config.json").read_bytes()).get("alignment_heads", [])
        config = {"alignment_heads": heads, "lang_ids": [], "suppress_ids": [], "suppress_ids_begin": []}
        (building / "config.json").write_text(json.dumps(config), encoding="utf-8")
        building.chmod(0o755)  # mkdtemp's 0700 would lock other users out of a shared cache
        building.rename(place)
    except OSError:
        if not place.is_dir():  # another process was faster otherwise
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Variable:
    """A variable of `model.bin`: `name` with its closing NUL, as the file has it, and where its bytes lie."""

    name: bytes
    shape: tuple[int, ...]
    kind: int
    at: int
    size: int

    @property
    def text(self) -> str:
        return self.name.removesuffix(b"\0").decode()


@dataclass(frozen=True, slots=True)
class _Weights:
    """What `model.bin` holds."""

    version: int
    spec: bytes
    revision: int
    variables: tuple[_Variable, ...]
    aliases: tuple[tuple[bytes, bytes], ...]

    @property
    def is_mostly_vocabulary(self) -> bool:
        """Whether the vocabulary is more than half of the rest of the decoder, in what one token costs.

        A layer of width d has 14 d x d weights (two attentions and four times the width behind them, keys and values
        of the audio aside), the vocabulary d for each token: tiny and base. Of small's it is a third, and a second
        decoder would take more memory than is worth the time.
        """
        layers, width = self.decoder
        shapes = {variable.text: variable.shape for variable in self.variables}
        return shapes[f"{_EMBEDDINGS}weight"][0] > 7 * width * layers

    @property
    def decoder(self) -> tuple[int, int]:
        """Its layers, and the width of them."""
        shapes = {variable.text: variable.shape for variable in self.variables}
        layers = {text.split("/")[1] for text in shapes if text.startswith("decoder/layer_") and text.count("/") > 2}
        return len(layers), shapes[f"{_EMBEDDINGS}weight"][1]


class _Reader:
    """Reads the numbers and names of a `model.bin`."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 0

    def weights(self) -> _Weights:
        version, spec, revision = self._number("I"), self._name(), self._number("I")
        variables = tuple(self._variable() for _ in range(self._number("I")))
        aliases = tuple((self._name(), self._name()) for _ in range(self._number("I")))
        return _Weights(version, spec, revision, variables, aliases)

    def _variable(self) -> _Variable:
        name, rank = self._name(), self._number("B")
        shape = tuple(self._number("I") for _ in range(rank))
        kind, size = self._number("B"), self._number("I")
        at, self._at = self._at, self._at + size
        return _Variable(name, shape, kind, at, size)

    def _name(self) -> bytes:
        size = self._number("H")
        at, self._at = self._at, self._at + size
        return self._data[at : self._at]

    def _number(self, kind: str) -> int:
        try:
            (value,) = struct.unpack_from(f"<{kind}", self._data, self._at)
        except struct.error:
            raise ValueError("model.bin is cut off") from None
        self._at += struct.calcsize(f"<{kind}")
        return int(value)


def _is_used(variable: _Variable) -> bool:
    """All but the layers of the encoder behind the first."""
    text = variable.text
    return not text.startswith("encoder/layer_") or text.startswith(("encoder/layer_0/", "encoder/layer_norm"))


def _cut(source: BinaryIO, target: BinaryIO, kept: Sequence[int]) -> None:
    with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        weights = _Reader(data).weights()
        used = [variable for variable in weights.variables if _is_used(variable)]
        names = {variable.name for variable in used}
        aliases = [pair for pair in weights.aliases if pair[1] in names]
        target.write(struct.pack("<I", weights.version) + _named(weights.spec))
        target.write(struct.pack("<II", weights.revision, len(used)))
        for variable in used:
            _write(variable, data, target, kept)
        target.write(struct.pack("<I", len(aliases)))
        for pair in aliases:
            target.write(_named(pair[0]) + _named(pair[1]))


def _write(variable: _Variable, data: mmap.mmap, target: BinaryIO, kept: Sequence[int]) -> None:
    shape, size, rows = variable.shape, variable.size, [(variable.at, variable.size)]
    if variable.text.startswith(_EMBEDDINGS) and shape:
        row = size // shape[0]
        shape, size = (len(kept), *shape[1:]), row * len(kept)
        rows = [(variable.at + token * row, row) for token in kept]
    target.write(_named(variable.name))
    target.write(struct.pack(f"<B{len(shape)}IBI", len(shape), *shape, variable.kind, size))
    for at, length in rows:
        target.write(data[at : at + length])


def _named(name: bytes) -> bytes:
    return struct.pack("<H", len(name)) + name

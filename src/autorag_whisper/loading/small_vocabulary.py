"""A model that only spells: a Whisper folder whose decoder knows few tokens, and whose encoder is a stump.

Half of what base's decoder computes for a token is how likely each of 51,865 tokens would be, which nobody asks while a
text is being aligned letter by letter. Whisper's tokens are numbered by how early they were merged, so the first few
thousand hold every byte and the commonest pieces of words: what remains has the numbers that it had.

```
tokens of the model   0 ......... kept ............ | end of text, start, languages, tasks, ... | times
of the small one      0 ......... kept | end of text, start, languages, tasks, ...
```

The engine's `align` takes encoder output as it is, so no more of the encoder is kept than its loader demands.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, BinaryIO

from autorag_whisper.engines.speller import SmallVocabulary
from autorag_whisper.models.building import building, one_at_a_time
from autorag_whisper.models.model_bin import EMBEDDINGS, Piecewise, Variable, opened, write

if TYPE_CHECKING:
    import mmap
    from collections.abc import Sequence
    from pathlib import Path

KEPT = 4096
_END, _TIMES = "<|endoftext|>", "<|notimestamps|>"
_FORMAT = "1"
"""Counted up when what is made changes: folders that were made before are then made anew."""


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
        with one_at_a_time(place):
            _make(folder, place, kept, [tokens[n] for n in kept], vocabulary)
    return SmallVocabulary(place, KEPT, end)


def decoder_shape(folder: Path) -> tuple[int, int]:
    """Layers of a model's decoder, and heads of one, 64 wide in every Whisper. Raises OSError, KeyError, ValueError."""
    with opened(folder / "model.bin") as (weights, _):
        return weights.layers("decoder"), weights.decoder_width // 64


def _is_worth_it(folder: Path) -> bool:
    """Whether the vocabulary is more than half of the rest of the decoder, in what one token costs.

    A layer of width d has 14 d x d weights (two attentions and four times the width behind them, keys and values
    of the audio aside), the vocabulary d for each token: tiny and base. Of small's it is a third, and a second
    decoder would take more memory than is worth the time.
    """
    with opened(folder / "model.bin") as (weights, _):
        enough = 7 * weights.decoder_width * weights.layers("decoder")
        return any(v.name == f"{EMBEDDINGS}weight" and v.shape[0] > enough for v in weights.variables)


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
    if place.is_dir():  # another process made it
        return
    with building(place, place.is_dir) as new:
        with (new / "model.bin").open("wb") as target:
            _cut(folder / "model.bin", target, kept)
        listed = json.dumps(tokens) if vocabulary.endswith(".json") else "\n".join(tokens) + "\n"
        (new / vocabulary).write_text(listed, encoding="utf-8")
        heads = json.loads((folder / "config.json").read_bytes()).get("alignment_heads", [])
        config = {"alignment_heads": heads, "lang_ids": [], "suppress_ids": [], "suppress_ids_begin": []}
        (new / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _is_used(variable: Variable) -> bool:
    """All but the layers of the encoder behind the first."""
    name = variable.name
    return not name.startswith("encoder/layer_") or name.startswith(("encoder/layer_0/", "encoder/layer_norm"))


def _cut(source: Path, target: BinaryIO, kept: Sequence[int]) -> None:
    with opened(source) as (weights, data):
        used = [variable for variable in weights.variables if _is_used(variable)]
        names = {variable.name for variable in used}
        aliases = [(alias, name) for alias, name in weights.aliases if name in names]
        write(target, weights, [_taken(variable, data, kept) for variable in used], aliases)


def _taken(variable: Variable, data: mmap.mmap, kept: Sequence[int]) -> Piecewise:
    """All of a variable, or of the vocabulary's the rows that are kept."""
    shape, size, rows = variable.shape, variable.size, [(variable.at, variable.size)]
    if variable.name.startswith(EMBEDDINGS) and shape:
        row = size // shape[0]
        shape, size = (len(kept), *shape[1:]), row * len(kept)
        rows = [(variable.at + token * row, row) for token in kept]
    return Piecewise(variable.name, shape, variable.kind, size, (data[at : at + length] for at, length in rows))

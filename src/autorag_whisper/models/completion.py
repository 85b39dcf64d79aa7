"""A model folder as fine-tuners and converters leave it, completed: what is missing is derived of what is there.

From the tokens and the weights follow the ids that are never decoded, those of languages, the attention heads that
CTranslate2's converter takes where nobody knows better, the tokenizer, and the engine's list of tokens. The folder
itself is not touched: the completed one lies in the cache and links to its files.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.errors import ModelDamaged
from autorag_whisper.domain.language import LANGUAGES
from autorag_whisper.models import model_bin
from autorag_whisper.models.building import building, link_files
from autorag_whisper.models.byte_vocabulary import END, ByteVocabulary, is_multilingual, read_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_FORMAT = "2"
"""Counted up when what is derived changes."""
_HEAD_WIDTH = 64
_LANGUAGE = re.compile(r"<\|[a-z]{2,3}\|>")
_TIMES = "<|notimestamps|>"
_SYMBOLS = [
    *'"#()*+/:;<=>@[\\]^_`{|}~「」『』',
    *("<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("', "((", "))", "(((", ")))"),
    *("[[", "]]", "{{", "}}", "♪♪", "♪♪♪"),
]
_NOTES = "♩♪♫♬♭♮♯"
_NEVER_SAID = ("<|startoftranscript|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>")
_NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")


@dataclass(frozen=True, slots=True)
class _Known:
    """What the folder tells by itself."""

    tokens: list[str]
    rows: int  # of the vocabulary's weights
    layers: int
    heads: int


def completed(folder: Path, name: str, cache_dir: Path) -> Path:
    """`folder`, or where it lacks something its completed likeness in `cache_dir`, made once.

    Raises ModelDamaged where that cannot be: with what is missing, and what mends it.
    """
    try:
        known = _known(folder)
        if known is None:
            return folder  # no tokens, or weights of another kind: `check` says what is wrong
        files = _missing(folder, known)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelDamaged(name, "config.json", f"it and its tokenizer do not fit ({error})") from error
    if not files:
        return folder
    place = cache_dir / "completed" / _fingerprint(folder)
    try:
        if not place.is_dir():
            with building(place, place.is_dir) as new:
                link_files(folder, new, but="")
                for file, text in files.items():
                    (new / file).unlink(missing_ok=True)  # a link, through which the folder itself would be written
                    (new / file).write_text(text, encoding="utf-8")
    except OSError as error:
        lacks, reason = ", ".join(files), error.strerror or type(error).__name__
        raise ModelDamaged(
            name, next(iter(files)), f"has to be completed ({lacks}), and the cache is not writable: {reason}"
        ) from error
    return place


def _known(folder: Path) -> _Known | None:
    tokens = read_tokens(folder)
    with (folder / "model.bin").open("rb") as file:
        weights = model_bin.read(file)
    if tokens is None or END not in tokens or not weights.has_embeddings:
        return None
    return _Known(tokens, weights.vocabulary, weights.layers("decoder"), weights.decoder_width // _HEAD_WIDTH)


def _missing(folder: Path, known: _Known) -> dict[str, str]:
    """File name -> text of what has to be written."""
    files: dict[str, str] = {}
    path = folder / "config.json"
    config = json.loads(path.read_bytes()) if path.is_file() else {}
    if isinstance(config, dict) and (derived := _derived(config, known)):
        files["config.json"] = json.dumps(config | derived, sort_keys=True)
    if not (folder / "tokenizer.json").is_file():
        files["tokenizer.json"] = _tokenizer(known.tokens)
    if not any((folder / listed).is_file() for listed in ("vocabulary.json", "vocabulary.txt")):
        files["vocabulary.json"] = json.dumps(_with_times(known), ensure_ascii=False)
    return files


def _derived(config: dict[str, Any], known: _Known) -> dict[str, Any]:
    """Keys of the configuration that are missing, or of which the engine could make nothing."""
    ids = {token: n for n, token in enumerate(known.tokens)}
    found: dict[str, Any] = {}
    if not _are_ids(config.get("suppress_ids"), known.rows):
        found["suppress_ids"] = _suppressed(known.tokens, ids)
    if not _are_ids(config.get("suppress_ids_begin"), known.rows):
        found["suppress_ids_begin"] = [*ByteVocabulary(known.tokens).encode(" "), ids[END]]
    if not _are_languages(config.get("lang_ids"), known):
        found["lang_ids"] = [ids[f"<|{code}|>"] for code in LANGUAGES if f"<|{code}|>" in ids]
        found["lang_ids"].sort()
    if not _are_heads(config.get("alignment_heads"), known):
        upper = range(known.layers // 2, known.layers)
        found["alignment_heads"] = [list(head) for head in itertools.product(upper, range(known.heads))]
    return found


def _are_ids(value: object, rows: int) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < rows for n in value)


def _are_languages(value: object, known: _Known) -> bool:
    """Whether they are ids of languages' tokens. An English-only model has no use for them."""
    if not isinstance(value, list) or not _are_ids(value, known.rows):
        return False
    if not is_multilingual(known.tokens.index(END)):
        return True
    return bool(value) and all(n < len(known.tokens) and _LANGUAGE.fullmatch(known.tokens[n]) for n in value)


def _are_heads(value: object, known: _Known) -> bool:
    if not isinstance(value, list) or not value:
        return False
    limits = (known.layers, known.heads)
    return all(
        isinstance(head, list) and len(head) == len(limits)
        and all(type(n) is int and 0 <= n < limit for n, limit in zip(head, limits, strict=True))
        for head in value
    )  # fmt: skip


def _suppressed(tokens: Sequence[str], ids: dict[str, int]) -> list[int]:
    """What is never decoded: signs that nobody says, and tokens about the text (`openai/whisper`, `tokenizer.py`)."""
    words = ByteVocabulary(tokens)
    found = {words.encode(" -")[0], words.encode(" '")[0]}
    for symbol in (*_SYMBOLS, *_NOTES):
        for text in (symbol, f" {symbol}"):
            encoded = words.encode(text)
            if len(encoded) == 1 or symbol in _NOTES:
                found.add(encoded[0])
    found |= {ids[token] for token in (*_NEVER_SAID, *_NO_SPEECH) if token in ids}
    return sorted(found)


def _with_times(known: _Known) -> list[str]:
    """The engine's list: as many as the weights have, the last ones moments of time."""
    more = range(known.rows - len(known.tokens))
    return [*known.tokens, *(f"<|{n * 0.02:.2f}|>" for n in more)][: known.rows]


def _tokenizer(tokens: Sequence[str]) -> str:
    """`tokenizer.json` for Hugging Face's `tokenizers`, without moments of time, which are no text."""
    words = ByteVocabulary(tokens)
    last = tokens.index(_TIMES) if _TIMES in tokens else len(tokens) - 1
    special = [{"id": n, "content": tokens[n], "special": True} for n in range(len(words.ids), last + 1)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    by_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
    }
    told = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
        "added_tokens": [token | flags for token in special], "pre_tokenizer": by_bytes, "decoder": by_bytes,
        "model": model | {"fuse_unk": False, "vocab": words.ids, "merges": [" ".join(pair) for pair in words.merges()]},
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False)


def _fingerprint(folder: Path) -> str:
    """Of the folder's place and of its files' names, sizes and times."""
    stats = [(file.name, file.stat()) for file in sorted(folder.iterdir()) if file.is_file()]
    told = [_FORMAT, *(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)]
    return hashlib.sha256(os.fsencode(folder.absolute()) + "\n".join(told).encode()).hexdigest()[:16]

"""Is this folder a whole Whisper model? Answered from sizes and headers, so that start-up pays milliseconds.

The engine's own loader answers a cut-off `model.bin` with a message that names no file, after reading all of it.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import ModelDamaged
from autorag_whisper.models import model_bin
from autorag_whisper.models.byte_vocabulary import END, read_tokens
from autorag_whisper.models.layouts import command, foreign_folder, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_SPEC = "WhisperSpec"
_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")

CONVERT = "convert the original checkpoint with ct2-transformers-converter"
"""What to do with a model in any other format."""

MODEL_FILES = ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", *_VOCABULARIES)
"""All that a model folder may hold for us; what else a repository of the hub holds is not fetched."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the header of `model.bin` tells about the network."""

    encoder_layers: int
    decoder_layers: int

    @property
    def is_distilled(self) -> bool:
        """Whether decoder layers were taken out, as in turbo and the distilled models."""
        return self.decoder_layers < self.encoder_layers


class _DamageError(Exception):
    """A reason and what mends it, on its way to the place that knows model and file."""

    def __init__(self, reason: str, how: str = "") -> None:
        super().__init__(reason)
        self.how = how


def check_model_folder(folder: Path, name: str) -> Architecture:
    """Look at every file that the engine or the tokenizer will need, but for what `completion` makes of the others.

    Raises:
        ModelDamaged: with the file at fault: missing, cut off, or something else under its name.
    """
    with _blamed(name, "model.bin"):
        if not (folder / "model.bin").exists() and (found := foreign_folder(folder)) is not None:
            raise ModelDamaged(name, found.file, found.reason, found.how)
        architecture = _check_weights(folder / "model.bin")
    with _blamed(name, "config.json"):
        _unless_derived(folder, "config.json", _check_config)
    with _blamed(name, "tokenizer.json"):
        _unless_derived(folder, "tokenizer.json", _check_tokenizer)
    vocabulary = next((v for v in _VOCABULARIES if (folder / v).exists()), _VOCABULARIES[0])
    with _blamed(name, vocabulary):
        _unless_derived(folder, vocabulary, _check_filled)
    return architecture


def _unless_derived(folder: Path, file: str, check: Callable[[Path], object]) -> None:
    """Check a file. It may be missing if the tokens are known, because it can be made from them."""
    if os.path.lexists(folder / file):
        check(folder / file)
        return
    try:
        tokens = read_tokens(folder)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        tokens = None
    if tokens is None or END not in tokens:
        raise _DamageError(
            "is missing", f"copy it from the original checkpoint, or convert that again: {command('CHECKPOINT')}"
        )


@contextmanager
def _blamed(name: str, file_name: str) -> Iterator[None]:
    """Turn any failure in the `with` block into the error that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise ModelDamaged(name, file_name, "is missing") from None
    except _DamageError as damage:
        raise ModelDamaged(name, file_name, str(damage), damage.how) from None
    except OSError as error:
        how = (
            "let this user read it (chmod, chown), or name another folder" if isinstance(error, PermissionError) else ""
        )
        raise ModelDamaged(name, file_name, f"cannot be read ({error.strerror or error})", how) from error


def _check_filled(path: Path) -> int:
    size = path.stat().st_size
    if size == 0:
        raise _DamageError("is empty")
    return size


def _check_config(path: Path) -> None:
    _check_filled(path)
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise _DamageError("is not JSON") from None
    if not isinstance(config, dict):
        raise _DamageError("is not a JSON object")


def _check_tokenizer(path: Path) -> None:
    """First and last character alone: parsing its 2 MB takes 100 ms, and the tokenizer does it anyway."""
    size = _check_filled(path)
    with path.open("rb") as file:
        head = file.read(64).lstrip()
        file.seek(max(0, size - 64))
        tail = file.read().rstrip()
    if not head.startswith(b"{"):
        raise _DamageError(_other_content(head) or "is not JSON")
    if not tail.endswith(b"}"):
        raise _DamageError("is cut off")


def _check_weights(path: Path) -> Architecture:
    _check_filled(path)
    with path.open("rb") as file:
        if reason := _other_content(file.read(64)):
            raise _DamageError(reason)
        file.seek(0)
        try:
            weights = model_bin.read(file)
        except model_bin.ForeignFileError as error:
            kind = kind_of(path)
            raise _DamageError(f"{error} but one of {kind}" if kind else f"{error}; {CONVERT}") from None
        except model_bin.BrokenFileError as error:
            raise _DamageError(str(error)) from None
    if weights.spec != _SPEC:
        raise _DamageError(f"is not a Whisper model but {weights.spec[:40]!r}")
    return Architecture(weights.layers("encoder"), weights.layers("decoder"))


def _other_content(head: bytes) -> str | None:
    """What a file really is that came under a model's name."""
    if head.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer, not the file itself (`git lfs pull` fetches it)"
    if head.lstrip().startswith(b"<"):
        return "is a web page, not the file itself"
    return None

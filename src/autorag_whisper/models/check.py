"""Is this folder a whole Whisper model? Answered from sizes and headers, so that start-up pays milliseconds.

The engine's own loader answers a cut-off `model.bin` with a message that names no file, after reading all of it.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import ModelDamaged
from autorag_whisper.models import model_bin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SPEC = "WhisperSpec"
_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
_ORIGINALS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")

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
    """A reason, on its way to the place that knows model and file."""


def check_model_folder(folder: Path, name: str) -> Architecture:
    """Look at every file that the engine or the tokenizer will need.

    Raises:
        ModelDamaged: with the file at fault: missing, cut off, or something else under its name.
    """
    with _blamed(name, "model.bin"):
        architecture = _check_weights(folder / "model.bin")
    with _blamed(name, "config.json"):
        _check_config(folder / "config.json")
    with _blamed(name, "tokenizer.json"):
        _check_tokenizer(folder / "tokenizer.json")
    vocabulary = next((v for v in _VOCABULARIES if (folder / v).exists()), _VOCABULARIES[0])
    with _blamed(name, vocabulary):
        _check_filled(folder / vocabulary)
    return architecture


@contextmanager
def _blamed(name: str, file_name: str) -> Iterator[None]:
    """Make whatever is wrong inside the error that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise ModelDamaged(name, file_name, "is missing") from None
    except _DamageError as damage:
        raise ModelDamaged(name, file_name, str(damage)) from None
    except OSError as error:
        raise ModelDamaged(name, file_name, f"cannot be read ({error.strerror or error})") from error


def _check_filled(path: Path) -> int:
    size = path.stat().st_size
    if size == 0:
        raise _DamageError("is empty")
    return size


def _check_config(path: Path) -> None:
    _check_filled(path)
    try:
        config = json.loads(path.read_bytes())
    except ValueError:
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
    if not path.exists() and any((path.parent / original).exists() for original in _ORIGINALS):
        raise _DamageError(f"is missing; {CONVERT}")
    _check_filled(path)
    with path.open("rb") as file:
        if reason := _other_content(file.read(64)):
            raise _DamageError(reason)
        file.seek(0)
        try:
            weights = model_bin.read(file)
        except model_bin.ForeignFileError as error:
            raise _DamageError(f"{error}; {CONVERT}") from None
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

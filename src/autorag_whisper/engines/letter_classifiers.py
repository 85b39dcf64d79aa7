"""Letter classifiers on disk: those that come with the package, and those that were made on this machine.

A classifier belongs to one encoder, whatever its model is called, wherever it lies, and in whatever compute type: it is
found by a digest of the encoder's biases and norms, which no conversion changes. The package's own are listed in
`letter_weights/manifest.json`; others are kept in the cache, as `letters/DIGEST.safetensors`.

A file holds float32 `mean`, `spread`, `hidden_scale`, int8 `hidden_weights` (each column was divided by its scale), and
the rest as float16; its metadata (JSON under `about`) tell format, alphabet and encoder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import numpy as np

from autorag_whisper.align.letters import LetterClassifier
from autorag_whisper.files import sha256_of
from autorag_whisper.models.model_bin import Kind, opened

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_log = logging.getLogger(__name__)

FORMAT = "1"
"""Counted up when what is made changes: what was made before is then made anew."""
_WEIGHTS = "letter_weights"
_FLOATS: dict[int, type[np.float32 | np.float16]] = {Kind.FLOAT32: np.float32, Kind.FLOAT16: np.float16}
_HALF = ("hidden_bias", "output_weights", "output_bias", "prior")


def classifier_for(folder: Path, cache_dir: Path) -> LetterClassifier | None:
    """The classifier for the model in `folder`: the package's own, else one that was made on this machine.

    None where there is none, or the model's file cannot be read: its words are then timed in another way.
    """
    try:
        encoder = encoder_digest(folder)
    except (OSError, ValueError) as error:
        _log.warning("no letter classifier: the encoder's weights cannot be read: %s", error)
        return None
    return packaged(encoder) or kept(encoder, cache_dir)


def encoder_digest(folder: Path) -> str:
    """SHA-256 of the encoder's vectors in float16. Raises OSError, ValueError (also where there is no encoder)."""
    digest = hashlib.sha256()
    with opened(folder / "model.bin") as (weights, data):
        vectors = [
            variable
            for variable in sorted(weights.variables, key=lambda variable: variable.name)
            if variable.name.startswith("encoder/")
            and len(variable.shape) == 1
            and variable.kind in _FLOATS
            # What int8 rows were multiplied by is no weight of the model.
            and not variable.name.endswith("_scale")
        ]
        if not vectors:
            message = "model.bin has no encoder"
            raise ValueError(message)
        for variable in vectors:
            values = np.frombuffer(data[variable.at : variable.at + variable.size], _FLOATS[variable.kind])
            digest.update(variable.name.encode() + b"\0" + values.astype(np.float16).tobytes())
    return digest.hexdigest()


def packaged(encoder: str) -> LetterClassifier | None:
    """The package's own classifier for that encoder; None if it has none, or its file is not as it was shipped."""
    folder = files("autorag_whisper.engines").joinpath(_WEIGHTS)
    try:
        listed = json.loads(folder.joinpath("manifest.json").read_bytes())
        for name, about in listed.items():
            if about["encoder"] == encoder:
                with as_file(folder.joinpath(about["file"])) as path:
                    if sha256_of(path) != about["sha256"]:
                        _log.warning("the letter classifier of %s is damaged; reinstall autorag-whisper", name)
                        return None
                    return read(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("the package's letter classifiers cannot be read; reinstall autorag-whisper: %s", error)
    return None


def kept(encoder: str, cache_dir: Path) -> LetterClassifier | None:
    """The classifier that was made for that encoder here; None if there is none, or its file is damaged or old."""
    path = place(encoder, cache_dir)
    try:
        found = _read(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _log.warning("the letter classifier %s has to be made again: %s", path.name, error)
        return None
    return found[0] if found[1] == encoder else None


def keep(classifier: LetterClassifier, encoder: str, cache_dir: Path) -> Path:
    """Keep it for that encoder, whole or not at all, and tell where. Raises OSError."""
    path = place(encoder, cache_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(classifier, path, encoder)
    return path


def place(encoder: str, cache_dir: Path) -> Path:
    """Where the classifier of that encoder is kept."""
    return cache_dir / "letters" / f"{encoder[:32]}.safetensors"


def read(path: Path) -> LetterClassifier:
    """A classifier's file. Raises OSError, and ValueError where it is damaged or of another format."""
    return _read(path)[0]


def _read(path: Path) -> tuple[LetterClassifier, str]:
    """The classifier, and the digest of its encoder."""
    from safetensors import SafetensorError, safe_open

    path.open("rb").close()  # safetensors' own errors do not tell a missing file from a forbidden one
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            if about.get("format") != FORMAT:
                message = f"is of format {about.get('format')}, not {FORMAT}"
                raise ValueError(message)
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        weights = values["hidden_weights"].astype(np.float32) * values["hidden_scale"]
        rest = {name: values[name].astype(np.float32) for name in ("mean", "spread", *_HALF)}
        return LetterClassifier(hidden_weights=weights, alphabet=tuple(about["alphabet"]), **rest), about["encoder"]
    except (SafetensorError, KeyError, TypeError, AttributeError) as error:
        message = f"is no letter classifier: {error}"
        raise ValueError(message) from error


def write(classifier: LetterClassifier, path: Path, encoder: str) -> None:
    """Write its file, whole or not at all: the same classifier gives the same bytes. Raises OSError."""
    from safetensors.numpy import save

    rows, scale = _as_int8(classifier.hidden_weights)
    values: dict[str, NDArray[Any]] = {"hidden_weights": rows, "hidden_scale": scale}
    values |= {name: getattr(classifier, name) for name in ("mean", "spread")}
    values |= {name: getattr(classifier, name).astype(np.float16) for name in _HALF}
    # One entry: safetensors writes several in any order.
    about = {"format": FORMAT, "alphabet": "".join(classifier.alphabet), "encoder": encoder}
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}-{threading.get_ident()}")
    try:
        temporary.write_bytes(save(values, metadata={"about": json.dumps(about)}))
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _as_int8(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Of each column the largest magnitude is 127; and what each has to be multiplied by."""
    scale = np.maximum(np.abs(weights).max(axis=0), np.float32(1e-12)) / np.float32(127)
    return np.round(weights / scale).astype(np.int8), scale.astype(np.float32)

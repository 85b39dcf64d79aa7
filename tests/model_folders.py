"""Model folders of a few hundred bytes with every part of the real format, and the layouts they are found in."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING

from autorag_whisper.models.packaged import Installed, ModelFile, PackagedModel, Part

if TYPE_CHECKING:
    from pathlib import Path

REVISION = "0123456789abcdef0123456789abcdef01234567"


def _name(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def _variable(name: str, shape: tuple[int, ...], data: bytes) -> bytes:
    head = struct.pack(f"<B{len(shape)}IBI", len(shape), *shape, 0, len(data))
    return _name(name) + head + data


def weights(
    spec: str = "WhisperSpec", *, version: int = 6, encoder_layers: int = 2, decoder_layers: int = 2, aliases: int = 1
) -> bytes:
    """A `model.bin` as CTranslate2 writes it, with layers of four bytes."""
    names = [f"encoder/layer_{n}/ffn/weight" for n in range(encoder_layers)]
    names += [f"decoder/layer_{n}/ffn/weight" for n in range(decoder_layers)]
    variables = [_variable(name, (2, 2), b"\x01\x02\x03\x04") for name in names]
    variables.append(_variable("decoder/activation", (), b"\x01"))
    table = b"".join(_name("decoder/projection/weight") + _name(names[0]) for _ in range(aliases))
    return b"".join(
        [
            struct.pack("<I", version),
            _name(spec),
            struct.pack("<II", 3, len(variables)),
            *variables,
            struct.pack("<I", aliases),
            table,
        ]
    )


def model_files(model_bin: bytes | None = None) -> dict[str, bytes]:
    """File name -> content of a whole little model."""
    return {
        "config.json": json.dumps({"alignment_heads": [[1, 0]], "lang_ids": []}).encode(),
        "model.bin": weights() if model_bin is None else model_bin,
        "tokenizer.json": b'{"version": "1.0", "model": {"vocab": {}}}\n',
        "vocabulary.txt": b"!\n",
    }


def make_model(folder: Path, model_bin: bytes | None = None) -> Path:
    """Write a whole little model into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in model_files(model_bin).items():
        (folder / name).write_bytes(content)
    return folder


def make_cached(root: Path, hub_id: str, model_bin: bytes | None = None) -> Path:
    """Write a little model into a hub cache, as the hub's client lays it out; the snapshot's folder."""
    repository = root / f"models--{hub_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(REVISION)
    (repository / "blobs").mkdir()
    snapshot = repository / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    for name, content in model_files(model_bin).items():
        # A blob is called after what the hub says that it holds, also where it came to harm later.
        blob = hashlib.sha256(model_files()[name]).hexdigest()
        (repository / "blobs" / blob).write_bytes(content)
        (snapshot / name).symlink_to(f"../../blobs/{blob}")
    return snapshot


def make_pieces(folder: Path, name: str = "little") -> Installed:
    """A packaged model whose `model.bin` lies in two pieces, as two installed packages would hold it."""
    folder.mkdir(parents=True, exist_ok=True)
    files, places = [], {}
    for file_name, content in model_files().items():
        half = len(content) // 2 if file_name == "model.bin" else len(content)
        parts = []
        for number, data in enumerate((content[:half], content[half:]), 1):
            if data:
                path = folder / f"{file_name}.part{number}"
                path.write_bytes(data)
                part = Part(f"package-{number}", f"data/{path.name}", len(data), hashlib.sha256(data).hexdigest())
                parts.append(part)
                places[part] = path
        files.append(ModelFile(file_name, len(content), hashlib.sha256(content).hexdigest(), tuple(parts)))
    versions = (("package-1", "1.0.0"), ("package-2", "1.0.0"))
    return Installed(PackagedModel(name, versions, tuple(files)), places)

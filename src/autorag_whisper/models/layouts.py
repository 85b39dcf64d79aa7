"""Recognises models in the formats of other programs, and says how to convert them."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_WEIGHTS = "model.bin"
_TRANSFORMERS = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
)  # fmt: skip
_COPIED = ("tokenizer.json", "preprocessor_config.json", "vocab.json", "merges.txt", "added_tokens.json")
_HEADS = {
    b"lmgg": "whisper.cpp (ggml)",
    b"GGUF": "whisper.cpp (GGUF)",
    b"PK\x03\x04": "PyTorch",
    b"\x80\x02": "PyTorch",
}
_ORIGINAL = "name the checkpoint that it was made of (a size, or its id on the hub)"


@dataclass(frozen=True, slots=True)
class Foreign:
    """What is there instead of a model: the file that tells it, what is wrong, and what mends it."""

    file: str
    reason: str
    how: str


def inner_folder(folder: Path) -> Path:
    """`folder`, or the one folder in it that holds the model, as archives and exports leave it."""
    try:
        if (folder / _WEIGHTS).exists() or foreign_folder(folder) is not None:
            return folder
        inner = _inner(folder)
    except OSError:  # `check` says what the system has against it
        return folder
    return inner[0] if len(inner) == 1 else folder


def _inner(folder: Path) -> list[Path]:
    found = {path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{_WEIGHTS}") if path.is_file()}
    return sorted(found)


def foreign_folder(folder: Path) -> Foreign | None:
    """What a folder without `model.bin` holds; None where nobody knows."""
    names = {path.name for path in folder.iterdir()}
    if "adapter_config.json" in names:
        how = f"merge it into its base model (peft: merge_and_unload, save_pretrained), and then: {command('MERGED')}"
        return Foreign("adapter_config.json", "is an adapter (LoRA) and no whole model", how)
    if "weights.npz" in names or _is_mlx(folder / "config.json"):
        return Foreign(_WEIGHTS, "is missing; the folder holds a model of MLX", _ORIGINAL)
    if (weights := next((name for name in _TRANSFORMERS if name in names), None)) is not None:
        return Foreign(
            _WEIGHTS, f"is missing; the folder holds a checkpoint of transformers ({weights})", command(folder)
        )
    for name in sorted(names):
        if (found := foreign_file(folder / name)) is not None:
            return Foreign(_WEIGHTS, f"is missing; {found.file} {found.reason}", found.how)
    inner = _inner(folder)
    if len(inner) > 1:
        shown = ", ".join(str(path.relative_to(folder)) for path in inner[:5])
        return Foreign(_WEIGHTS, f"is missing; folders in it hold models: {shown}", "name one of them")
    return None


def foreign_file(path: Path) -> Foreign | None:
    """What a file is that was given as a model or lies in its place; None where nobody knows."""
    if path.suffix == ".onnx":
        return Foreign(path.name, "is a model of ONNX", _ORIGINAL)
    if path.suffix in (".h5", ".msgpack", ".mlmodelc", ".tflite"):
        return Foreign(path.name, "holds weights of another framework", _ORIGINAL)
    if path.suffix not in (".bin", ".gguf", ".pt", ".pth", ".ckpt"):
        return None
    kind = kind_of(path)
    if kind == "PyTorch":
        turn = "python -m transformers.models.whisper.convert_openai_to_hf"
        how = f"{turn} --checkpoint_path {shlex.quote(str(path))} --pytorch_dump_folder_path CHECKPOINT"
        return Foreign(path.name, "is a model of openai-whisper (PyTorch)", f"{how}, and then: {command('CHECKPOINT')}")
    return Foreign(path.name, f"is a model of {kind}", _ORIGINAL) if kind else None


def kind_of(path: Path) -> str:
    """Whose weights a file holds, by its first bytes; "" where they tell nothing."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError:
        return ""
    return next((kind for magic, kind in _HEADS.items() if head.startswith(magic)), "")


def command(checkpoint: Path | str) -> str:
    """What converts a checkpoint of transformers, with the files of it that are needed here."""
    copied = "tokenizer.json preprocessor_config.json"
    if not isinstance(checkpoint, str):
        copied = " ".join(name for name in _COPIED if (checkpoint / name).is_file()) or copied
    source, target = shlex.quote(str(checkpoint)), shlex.quote(f"{checkpoint}-ct2")
    convert = f"ct2-transformers-converter --model {source} --output_dir {target} --copy_files {copied}"
    return f"pip install transformers torch, {convert} --quantization float16, and name {target}"


def _is_mlx(config: Path) -> bool:
    try:
        told = json.loads(config.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(told, dict) and "n_audio_state" in told

"""Make the parts that travel to a machine that can fetch nothing: wheels, weights and recordings.

    python -m benchmarks.card.pack OUT [--kit ../shared/kit] [--python 3.12] [--part-mb 40]

Writes OUT/part1, OUT/part2, ...: each a folder below the limit of one transfer. `scripts/gpu_day.py add PART` takes
them in there, in any order; what is larger than a part comes in pieces.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("tiny.en", "base")
EXTRAS = """
    faster-whisper opentelemetry-sdk opentelemetry-semantic-conventions jiwer rapidfuzz whisper-normalizer
    indic-numtowords more-itertools
"""
PRESENT = """
    anyio annotated-doc certifi click colorama filelock flatbuffers fsspec h11 hf-xet httpcore httpx httpx2
    httpcore2 httpx2-jsfetch huggingface-hub idna markdown-it-py mdurl numpy nvidia-ml-py onnxruntime packaging
    protobuf pygments pyyaml regex rich safetensors shellingham sympy tokenizers torch tqdm transformers
    truststore typer typing-extensions
"""
"""Distributions that are there, or that nothing of ours needs there."""
PLATFORMS = tuple(f"manylinux{tag}_x86_64" for tag in ("_2_28", "_2_27", "_2_17", "2014", "1"))
PIECE = 8 << 20
PART_MB = 40
"""So that a part and the repository fit a transfer of 64 MiB."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kit", type=Path, help="recordings with their truth; without them words are not compared")
    parser.add_argument("--python", default="3.12", help="of the machine")
    parser.add_argument("--part-mb", type=int, default=PART_MB, help="the working tree travels beside each part")
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        load = Path(scratch)
        wheels(load / "wheels", given.python)
        for name in MODELS:
            shutil.copytree(int8_folder(name), load / "models" / name, ignore=shutil.ignore_patterns("made_of.json"))
        if given.kit:
            recordings(given.kit, load / "kit")
        parts = distribute(load, given.out, given.part_mb << 20)
    for part in parts:
        size = sum(file.stat().st_size for file in part.rglob("*") if file.is_file())
        print(f"{part}: {size / 1e6:.1f} MB")


def wheels(folder: Path, python: str) -> None:
    """Fetch what the core needs and the machine lacks, and what is measured beside it, as the pins have it."""
    pins = {}
    for file in ("core", "dev"):
        for line in (ROOT / "requirements" / f"{file}.txt").read_text(encoding="utf-8").splitlines():
            if match := re.match(r"([a-z0-9-]+)==([^ ;]+)", line):
                pins.setdefault(match[1], (match[2], file))
    wanted = [
        name
        for name, (_, file) in pins.items()
        if (file == "core" or name in EXTRAS.split()) and name not in PRESENT.split()
    ]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--dest",
        str(folder),
    ]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    command += [part for platform in PLATFORMS for part in ("--platform", platform)]
    subprocess.run([*command, *(f"{name}=={pins[name][0]}" for name in wanted)], check=True)


def int8_folder(name: str) -> Path:
    """The model's folder with weights of int8: half of what travels, and the engine makes other types of them."""
    from autorag_whisper.loading.int8_weights import with_int8_weights
    from autorag_whisper.models.store import ModelStore

    store = ModelStore()
    return with_int8_weights(store.resolve(name).folder, store.cache_dir)


def recordings(kit: Path, target: Path) -> None:
    """A few minutes of every kind with a truth, and the longest that is small enough to be timed."""
    rows = []
    for collection, count in (("real", 14), ("tts", 6)):
        manifest = [json.loads(line) for line in (kit / collection / "manifest.jsonl").read_text("utf-8").splitlines()]
        good = [
            row
            for row in manifest
            if row.get("wer", True)
            and not {"digits", "voice-quality"} & set(row["tags"])
            and row["ref_trust"] in ("exact", "verbatim")
            and 5 < row["duration_s"] < 40
        ]
        english = [row for row in good if row["language"] == "en"]
        rows += [(collection, row) for row in english[:: max(1, len(english) // count)][:count]]
        rows += [(collection, row) for row in manifest if row["path"].endswith("long_10min.flac")]
    target.mkdir(parents=True)
    with (target / "manifest.jsonl").open("w", encoding="utf-8") as file:
        for collection, row in rows:
            source = kit / collection / Path(row["path"]).name
            source = source if source.exists() else kit / row["path"]
            shutil.copy(source, target / source.name)
            file.write(json.dumps(row | {"path": source.name}, ensure_ascii=False) + "\n")


def distribute(load: Path, out: Path, limit: int) -> list[Path]:
    """Files and pieces of files over as many parts as it takes, the first fit for each, the largest first."""
    pieces = []
    for file in sorted(load.rglob("*")):
        if file.is_file():
            data, name = file.read_bytes(), file.relative_to(load).as_posix()
            starts = range(0, max(len(data), 1), PIECE)
            pieces += [(name, n, len(starts), data[at : at + PIECE]) for n, at in enumerate(starts)]
    parts: list[tuple[Path, list[dict[str, object]], list[int]]] = []
    for name, n, count, data in sorted(pieces, key=lambda piece: -len(piece[3])):
        at = next((part for part in parts if part[2][0] + len(data) <= limit), None)
        if at is None:
            if len(data) > limit:
                raise SystemExit(f"a piece has {len(data) / 1e6:.1f} MB, a part {limit / 1e6:.1f}: --part-mb")
            at = (out / f"part{len(parts) + 1}", [], [0])
            at[0].mkdir(parents=True)
            parts.append(at)
        folder, listed, size = at
        stored = f"{len(listed):04}"
        (folder / stored).write_bytes(data)
        listed.append(
            {"file": name, "piece": n, "of": count, "stored": stored, "sha256": hashlib.sha256(data).hexdigest()}
        )
        size[0] += len(data)
    for folder, listed, _ in parts:
        (folder / "contents.json").write_text(json.dumps(listed, indent=0), encoding="utf-8")
    return [folder for folder, _, _ in parts]


if __name__ == "__main__":
    main()

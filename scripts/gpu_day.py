#!/usr/bin/env python3
"""Measure this project on a bare machine with a card, which can fetch nothing: the standard library is enough to begin.

Where there is a network:    python -m benchmarks.card.pack PARTS --kit KIT
There, for each part:        python3 scripts/gpu_day.py add PARTS/part1
then:                        python3 scripts/gpu_day.py run [--device cuda] [--minutes 13] [--tiny]

`run` begins with what is not done yet. What was found is in WORK/card.md and WORK/card.json (--work, or GPU_DAY_WORK).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLD_NAMES = {
    "libcublas.so.12": "libcublas.so.13",
    "libcublasLt.so.12": "libcublasLt.so.13",
    "libcudart.so.12": "libcudart.so.13",
}
"""What CTranslate2's wheel opens by name, and what a machine with CUDA 13 has in its place."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(os.environ.get("GPU_DAY_WORK", "/tmp/gpu-day")))
    commands = parser.add_subparsers(dest="command", required=True)
    adds = commands.add_parser("add", help="take parts in")
    adds.add_argument("parts", type=Path, nargs="+")
    runs = commands.add_parser("run", help="run the steps; further options are those of benchmarks.card")
    given, more = parser.parse_known_args()
    work = given.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    if given.command == "add":
        if more:
            adds.error(f"unknown: {' '.join(more)}")
        for part in given.parts:
            add(part, work)
        return 0
    missing = missing_pieces(work)
    if missing:
        runs.error(f"not all parts were added, there is no whole {', '.join(missing)}")
    environ = environment(work)
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.card", "--work", str(work), *more], env=environ, cwd=work, check=False
    ).returncode


def add(part: Path, work: Path) -> None:
    """Check a part's pieces, and make files of those that are whole now; wheels are unpacked."""
    for row in json.loads((part / "contents.json").read_text(encoding="utf-8")):
        data = (part / row["stored"]).read_bytes()
        if hashlib.sha256(data).hexdigest() != row["sha256"]:
            raise SystemExit(f"{part.name}: {row['file']}, piece {row['piece'] + 1}, was damaged on its way")
        target = work / row["file"]
        if target.exists() or (work / "unpacked" / target.name).exists():
            continue
        pieces = work / "pieces" / row["file"]
        pieces.mkdir(parents=True, exist_ok=True)
        (pieces / f"{row['piece']:04}-of-{row['of']:04}").write_bytes(data)
        found = sorted(pieces.iterdir())
        if len(found) < row["of"]:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for piece in found:
                file.write(piece.read_bytes())
                piece.unlink()
        pieces.rmdir()
        if target.suffix == ".whl":
            with zipfile.ZipFile(target) as wheel:
                wheel.extractall(work / "site")
            (work / "unpacked").mkdir(exist_ok=True)
            target.rename(work / "unpacked" / target.name)


def missing_pieces(work: Path) -> list[str]:
    """Files of which some pieces have come."""
    root = work / "pieces"
    return sorted({str(piece.parent.relative_to(root)) for piece in root.rglob("*-of-*")}) if root.is_dir() else []


def environment(work: Path) -> dict[str, str]:
    """Of the steps: our packages before the machine's, its CUDA libraries under the names that the engine opens."""
    links = link_cuda(work / "cuda")
    paths = [str(work / "site"), str(ROOT / "src"), str(ROOT)]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "LD_LIBRARY_PATH": os.pathsep.join([links, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]),
        "AUTORAG_WHISPER_OFFLINE": "1",
        "XDG_CACHE_HOME": str(work / "cache"),
        "PYTHONUNBUFFERED": "1",
    }


def link_cuda(folder: Path) -> str:
    """A folder of links to every CUDA library among the packages of Python; the old names lead to the new libraries."""
    folder.mkdir(exist_ok=True)
    found = importlib.util.find_spec("nvidia")
    for root in (found.submodule_search_locations or ()) if found else ():
        for library in Path(root).rglob("lib*.so.*"):
            names = [library.name, *(old for old, new in OLD_NAMES.items() if new == library.name)]
            for name in names:
                link = folder / name
                if not link.is_symlink():
                    link.symlink_to(library)
    return str(folder)


if __name__ == "__main__":
    sys.exit(main())

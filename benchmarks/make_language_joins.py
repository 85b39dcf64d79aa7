"""Write recordings in which the language changes: clips of the kit in several languages, one behind another.

    .venv/bin/python benchmarks/make_language_joins.py FOLDER --kit KIT [--seed 1] [--joins 12]

Each has three to five turns of one language or another, of 4 to 25 s, with 0.4 to 2 s of faint noise between them.
`languages.py` counts. Odd seeds were used for choosing thresholds, even ones are kept for testing.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from autorag_whisper.audio.decode import MediaDecoder
from make_joins import FLOOR, levelled
from make_no_speech import write
from sounds import HZ, Signal

LONGEST_S, SHORTEST_S = 25.0, 4.0
_LEFT_OUT = {"noisy", "overlap", "voice-quality", "code-switching", "babble"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kit", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--joins", type=int, default=12)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(arguments.seed)
    clips = kit_clips(arguments.kit / "real")
    rows = [join(arguments.folder, number, rng, clips) for number in range(arguments.joins)]
    manifest = arguments.folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(f"{len(rows)} files, {sum(row['duration_s'] for row in rows) / 60:.1f} minutes: {manifest}")


def kit_clips(folder: Path) -> dict[str, list[Signal]]:
    """Clear human speech by language."""
    found: dict[str, list[Signal]] = defaultdict(list)
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["duration_s"] < SHORTEST_S or row["duration_s"] > 120 or _LEFT_OUT & set(row["tags"]):
            continue
        with (folder / row["path"]).open("rb") as file, MediaDecoder(file, row["path"]) as decoder:
            found[row["language"].split("-")[0]].append(levelled(np.concatenate(list(decoder))))
    return found


def join(folder: Path, number: int, rng: np.random.Generator, clips: dict[str, list[Signal]]) -> dict[str, Any]:
    pieces: list[Signal] = [rng.standard_normal(HZ // 5) * FLOOR]
    turns: list[dict[str, Any]] = []
    for _ in range(int(rng.integers(3, 6))):
        others = sorted(code for code in clips if not turns or code != turns[-1]["language"])
        language = others[int(rng.integers(len(others)))]
        of_it = clips[language]
        clip = of_it[int(rng.integers(len(of_it)))]
        length = min(len(clip), int(rng.uniform(SHORTEST_S, LONGEST_S) * HZ))
        begin = int(rng.integers(len(clip) - length + 1))
        start = sum(map(len, pieces))
        pieces += [clip[begin : begin + length], rng.standard_normal(int(rng.uniform(0.4, 2) * HZ)) * FLOOR]
        turns.append({"language": language, "start_s": start / HZ, "end_s": (start + length) / HZ})
    samples = np.concatenate(pieces)
    path = f"languages_{number:03}.wav"
    write(folder / path, np.clip(samples, -1, 1))
    return {"path": path, "duration_s": len(samples) / HZ, "turns": turns}


if __name__ == "__main__":
    main()

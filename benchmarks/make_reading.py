"""Write an hour of sentences read aloud, with its text: for counting false sentence ends, which are few.

    .venv/bin/python benchmarks/make_reading.py FOLDER --kit KIT [--seed 1] [--minutes 60]

The sentences of the kit's hour in another order, by other voices and with other pauses: what a decoder makes of a comma
depends on all of them, so another seed is another sample. Spoken by flite (Debian's package of this name), a few
sentences by each voice in turn.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.sounds import HZ
from benchmarks.timing import made

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.sounds import Signal

HOUR = "long_60min.opus"
VOICES = ("slt", "rms", "awb", "kal16")
SENTENCES_A_VOICE = (5, 14)
PAUSE_S, LONG_PAUSE_S, LONG_PAUSES = (0.3, 1.2), (2.0, 12.0), 0.05
"""Seconds of silence between two sentences, of a long one, and how many of them are long."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kit", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60.0)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    row = read_aloud(given.folder, sentences(given.kit), given.seed, given.minutes * 60)
    (given.folder / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    print(f"{row['duration_s'] / 60:.1f} minutes: {given.folder}/manifest.jsonl")


def sentences(kit: Path) -> list[str]:
    """Of the kit's hour, each once, in its order."""
    hour = next(row for row in made.manifest(kit / "tts") if row["path"] == HOUR)
    return list(dict.fromkeys(segment["text"] for segment in hour["segments"]))


def read_aloud(folder: Path, texts: list[str], seed: int, enough_s: float) -> dict[str, object]:
    """The line of the manifest; the recording lies in `folder` and ends with the sentence that makes it long enough."""
    rng = np.random.default_rng(seed)
    said: list[str] = []
    pieces: list[Signal] = []
    duration_s = 0.0
    for text, voice in in_turn(rng, texts):
        pause_s = rng.uniform(*(LONG_PAUSE_S if rng.random() < LONG_PAUSES else PAUSE_S))
        spoken = np.concatenate([speak(text, voice), np.zeros(round(pause_s * HZ))])
        said.append(text)
        pieces.append(spoken)
        duration_s += len(spoken) / HZ
        if duration_s >= enough_s:
            break
    row = made.row(folder, "reading", np.concatenate(pieces), [], "none", "long")
    return row | {"ref_trust": "exact", "text": " ".join(said)}


def in_turn(rng: np.random.Generator, texts: list[str]) -> Iterator[tuple[str, str]]:
    """Text and voice, without end: the texts in an order of chance, over and over."""
    voices = _shuffled(rng, list(VOICES))
    while True:
        left = 0
        for text in rng.permutation(np.array(texts, dtype=object)):
            if not left:
                voice, left = next(voices), int(rng.integers(*SENTENCES_A_VOICE, endpoint=True))
            left -= 1
            yield text, voice


def _shuffled(rng: np.random.Generator, some: list[str]) -> Iterator[str]:
    while True:
        yield from rng.permutation(some)


def speak(text: str, voice: str) -> Signal:
    """float64[n] at 16 kHz."""
    with tempfile.TemporaryDirectory() as scratch:
        wav = Path(scratch, "spoken.wav")
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(wav)], check=True)
        return made.read(wav)


if __name__ == "__main__":
    main()

"""Word times in noise, on the telephone and in a room, over times in the same recordings as they were.

    AUTORAG_WHISPER_KIT=KIT .venv/bin/python benchmarks/noises.py [--seed 5] [--model base]

Every clean recording of the kit with exact times, and copies that are as hard to hear as `CONDITIONS` says. Errors are
in milliseconds, of starts / ends: `late` is their median with its sign, `by clean` the median of their sizes over that
of the recordings as they were. With `--plain` nothing is taken off for the beginnings of sounds that noise hides
(`align.hidden_onsets`).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.sounds import crowd, pink
from benchmarks.timing import made
from benchmarks.timing.groups import GROUPS
from benchmarks.word_times import ours, pairs_of, scorer

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from benchmarks.sounds import Signal
    from benchmarks.timing.made import Rng
    from benchmarks.word_times import Hear

LONGEST_S = 40.0


def white(rng: Rng, n: int) -> Signal:
    return rng.standard_normal(n)


CONDITIONS: dict[str, Callable[[Rng, Signal], Signal]] = {
    "clean": lambda _rng, x: x,
    "pink noise, 30 dB": made.beside(pink, 30),
    "pink noise, 20 dB": made.beside(pink, 20),
    "pink noise, 10 dB": made.beside(pink, 10),
    "white noise, 20 dB": made.beside(white, 20),
    "white noise, 10 dB": made.beside(white, 10),
    "a crowd, 20 dB": made.beside(crowd, 20),
    "a crowd, 10 dB": made.beside(crowd, 10),
    "telephone": made.telephone,
    "reverberant": made.reverberant,
}


def measured(hear: Hear, kit: Path, seed: int) -> dict[str, NDArray[np.float64]]:
    """float64[words, 2] of every condition: how late starts and ends are, in milliseconds."""
    rng, score = np.random.default_rng(seed), scorer(kit)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CONDITIONS}
    rows = [row for row in made.manifest(kit / "tts") if GROUPS["clean English, exact"](row)]
    with tempfile.TemporaryDirectory() as scratch:
        for row in (row for row in rows if row["duration_s"] <= LONGEST_S):
            samples = made.read(kit / "tts" / row["path"])
            for name, change in CONDITIONS.items():
                copy = made.row(Path(scratch), "copy", change(rng, samples), row["words"], "exact")
                pairs = pairs_of(hear, Path(scratch) / copy["path"], copy, score)
                found[name] += [(pair.start - pair.true_start, pair.end - pair.true_end) for pair in pairs]
    return {name: 1000 * np.asarray(some).reshape(-1, 2) for name, some in found.items()}


def table(found: dict[str, NDArray[np.float64]]) -> None:
    clean = np.median(np.abs(found["clean"]), axis=0)
    copies = np.concatenate([some for name, some in found.items() if name != "clean"])
    print("| | words | late | median | by clean | 95 % |\n|---|---:|---:|---:|---:|---:|")
    for name, off in [*found.items(), ("all copies", copies)]:
        size = np.abs(off)
        cells = (np.median(off, axis=0), median := np.median(size, axis=0), median / clean)
        shown = [f"{s:.2f} / {e:.2f}" if n == 2 else f"{s:.1f} / {e:.1f}" for n, (s, e) in enumerate(cells)]
        tail = " / ".join(f"{edge:.0f}" for edge in np.percentile(size, 95, axis=0))
        print(f"| {name} | {len(off)} | {' | '.join(shown)} | {tail} |")


def plainly() -> AbstractContextManager[object]:
    return mock.patch("autorag_whisper.align.hidden_onsets.hidden_s", return_value=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--plain", action="store_true")
    given = parser.parse_args()
    if "AUTORAG_WHISPER_KIT" not in os.environ:
        sys.exit("set AUTORAG_WHISPER_KIT to the kit's folder")
    with plainly() if given.plain else nullcontext(), ours(given.model, "auto", Counter()) as hear:
        found = measured(hear, Path(os.environ["AUTORAG_WHISPER_KIT"]), given.seed)
    table(found)


if __name__ == "__main__":
    main()

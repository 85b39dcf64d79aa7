"""Word times in noise, on the telephone and in a room, over times in the same recordings as they were.

    AUTORAG_WHISPER_KIT=KIT .venv/bin/python benchmarks/noises.py [--seed 5] [--model base] [--people]

Every clean recording of the kit with exact times, and copies that are as hard to hear as `CONDITIONS` says. Errors are
in milliseconds, of starts / ends: `late` is their median with its sign, `by clean` the median of their sizes over that
of the recordings as they were. The last columns are the starts of words behind pauses of 0.2 s and more, and the ends
of words before them: how many, and the medians with sign and without. With `--people` it is the kit's recordings with
times by people, joined by pauses, and its talk. With `--plain` nothing is taken off for the edges of sounds that noise
hides (`align.hidden_edges`).
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
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from benchmarks.sounds import Signal
    from benchmarks.timing.figures import TimedPair
    from benchmarks.timing.groups import Row
    from benchmarks.timing.made import Rng, Word
    from benchmarks.word_times import Hear

LONGEST_S, PAUSE_S, JOINS = 40.0, 0.2, 8


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


def recordings(rng: Rng, kit: Path, *, people: bool) -> Iterator[tuple[Signal, list[Word]]]:
    """Samples and words with their times."""
    if people:
        yield made.spontaneous(kit / "real")
        several = list(made.human(kit))
        yield from (made.joined(rng, several) for _ in range(JOINS))
        return
    for row in made.manifest(kit / "tts"):
        if GROUPS["clean English, exact"](row) and row["duration_s"] <= LONGEST_S:
            yield made.read(kit / "tts" / row["path"]), row["words"]


def measured(hear: Hear, kit: Path, seed: int, *, people: bool) -> dict[str, NDArray[np.float64]]:
    """float64[words, 4] of every condition: ms that starts and ends are late, and seconds of pause before and after."""
    rng, score = np.random.default_rng(seed), scorer(kit)
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in CONDITIONS}
    with tempfile.TemporaryDirectory() as scratch:
        for samples, words in recordings(rng, kit, people=people):
            for name, change in CONDITIONS.items():
                copy = made.row(Path(scratch), "copy", change(rng, samples), words, "human" if people else "exact")
                for pair in pairs_of(hear, Path(scratch) / copy["path"], copy, score):
                    late = 1000 * (pair.start - pair.true_start), 1000 * (pair.end - pair.true_end)
                    found[name].append((*late, *pauses(copy, pair)))
    return {name: np.asarray(some).reshape(-1, 4) for name, some in found.items()}


def pauses(row: Row, pair: TimedPair) -> tuple[float, float]:
    """Seconds without a word before it and after it; the recording's edges end them too."""
    said = [word for word in row["words"] if "s" in word]
    before = max((word["e"] for word in said if word["s"] < pair.true_start), default=0.0)
    after = min((word["s"] for word in said if word["e"] > pair.true_end), default=row["duration_s"])
    return pair.true_start - before, after - pair.true_end


def table(found: dict[str, NDArray[np.float64]]) -> None:
    clean = np.median(np.abs(found["clean"][:, :2]), axis=0)
    copies = np.concatenate([some for name, some in found.items() if name != "clean"])
    print("| | words | late | median | by clean | 95 % | at pauses | late | median |\n|---|" + "---:|" * 8)
    for name, rows in [*found.items(), ("all copies", copies)]:
        size = np.abs(off := rows[:, :2])
        cells = (np.median(off, axis=0), median := np.median(size, axis=0), median / clean)
        shown = [f"{s:.2f} / {e:.2f}" if n == 2 else f"{s:.1f} / {e:.1f}" for n, (s, e) in enumerate(cells)]
        tail = " / ".join(f"{edge:.0f}" for edge in np.percentile(size, 95, axis=0))
        at = [off[rows[:, 2 + edge] >= PAUSE_S, edge] for edge in (0, 1)]
        beside = [" / ".join(f"{np.median(size_of(late)):.1f}" for late in at) for size_of in (np.asarray, np.abs)]
        counts = f"{len(at[0])} / {len(at[1])}"
        print(f"| {' | '.join([name, str(len(off)), *shown, tail, counts, *beside])} |")


def plainly() -> AbstractContextManager[object]:
    return mock.patch("autorag_whisper.align.hidden_edges.raised_db", return_value=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--people", action="store_true")
    parser.add_argument("--plain", action="store_true")
    given = parser.parse_args()
    if "AUTORAG_WHISPER_KIT" not in os.environ:
        sys.exit("set AUTORAG_WHISPER_KIT to the kit's folder")
    kit = Path(os.environ["AUTORAG_WHISPER_KIT"])
    with plainly() if given.plain else nullcontext(), ours(given.model, "auto", Counter()) as hear:
        found = measured(hear, kit, given.seed, people=given.people)
    table(found)


if __name__ == "__main__":
    main()

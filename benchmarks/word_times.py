"""Word times against the truth: synthetic speech with exact times, recordings with times by phoneticians.

    .venv/bin/python benchmarks/word_times.py [--model base] [--aligner auto] [--half 0|1] [--json F]
    .venv/bin/python benchmarks/word_times.py --drift       # the hour: its first tenth against its last

AUTORAG_WHISPER_KIT names the recordings.

Errors are in milliseconds, starts and ends apart, over the words that were recognised right; `found` is their share of
all words with a true time. Matching is the kit's own (`score.py`).
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.request import TranscribeOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GROUPS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "clean English, exact": lambda row: row["language"] == "en" and {"clean"} <= tags(row) and exact(row),
    "noisy, telephone, reverberant": lambda row: exact(row) and not {"clean", "long", "espeak"} & tags(row),
    "ten minutes": lambda row: row["path"].startswith("long_10min"),
    "other languages, exact": lambda row: row["language"] != "en" and exact(row),
    "human": lambda row: row.get("word_trust") == "human" and "overlap" not in tags(row),
    "digits at known places": lambda row: row.get("word_trust") == "constructed",
}
AFTER_PAUSES, PAUSE_S = "after pauses of 1 s and more, exact", 1.0
"""A group of words, not of files: English ones with exact times, long files too, but for the hour."""
WITHIN_MS = (20, 50, 100, 200)


def tags(row: dict[str, Any]) -> set[str]:
    return set(row["tags"])


def exact(row: dict[str, Any]) -> bool:
    return row.get("word_trust") == "exact"


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors of one edge, in milliseconds; `within` are percentages in the order of `WITHIN_MS`."""

    words: int
    bias: float
    median: float
    mean: float
    p95: float
    within: tuple[float, ...]

    @classmethod
    def of(cls, errors_s: list[float]) -> Errors:
        signed = 1000 * np.asarray(errors_s)
        size = np.abs(signed)
        within = tuple(round(100 * float(np.mean(size <= limit)), 1) for limit in WITHIN_MS)
        figures = (np.median(signed), np.median(size), size.mean(), np.percentile(size, 95))
        return cls(len(size), *(round(float(figure), 1) for figure in figures), within)


@dataclass(frozen=True, slots=True)
class Figures:
    """A group's figures; `found` in percent."""

    start: Errors
    end: Errors
    found: float


def scorer(kit: Path) -> Any:
    """The kit's `score.py` as a module."""
    spec = importlib.util.spec_from_file_location("kit_score", kit / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of(kit: Path, model: str, half: int | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Files with trusted times that this model can be asked for, every second one for a `half`."""
    for folder in ("tts", "real"):
        lines = (kit / folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
        for n, row in enumerate(map(json.loads, lines)):
            wanted = any(member(row) for member in GROUPS.values()) and "60min" not in row["path"]
            if wanted and (half is None or n % 2 == half) and (row["language"] == "en" or not model.endswith(".en")):
                yield kit / folder, row


def measure(
    kit: Path,
    model: str,
    aligner: str,
    half: int | None = None,
    only: Callable[[dict[str, Any]], bool] = lambda _: True,
) -> tuple[dict[str, Figures], dict[str, int]]:
    """Figures by group, and how many words each aligner timed."""
    score = scorer(kit)
    starts, ends = defaultdict(list), defaultdict(list)
    found, asked, sources = defaultdict(int), defaultdict(int), defaultdict(int)
    with build_transcriber() as transcriber:
        for folder, row in rows_of(kit, model, half):
            if not only(row):
                continue
            options = TranscribeOptions(language=row["language"], aligner=aligner)
            words = transcriber.transcribe(folder / row["path"], options, model=model).words
            for word in words:
                sources[str(word.source)] += 1
            heard = [{"w": word.text, "s": word.start_s, "e": word.end_s, "p": word.probability} for word in words]
            result = score.score_file(row, {"words": heard, "text": " ".join(word.text for word in words)})
            for group in (name for name, member in GROUPS.items() if member(row)):
                starts[group] += [error for error, *_ in result["start"]]
                ends[group] += [error for error, *_ in result["end"]]
                found[group] += result["matched"]
                asked[group] += result["ref_timed"]
            late = after_pauses(row)
            both = zip(result["start"], result["end"], strict=True)
            chosen = [(start[0], end[0]) for start, end in both if start[2] in late]
            starts[AFTER_PAUSES] += [start for start, _ in chosen]
            ends[AFTER_PAUSES] += [end for _, end in chosen]
            found[AFTER_PAUSES] += len(chosen)
            asked[AFTER_PAUSES] += len(late)
    return {
        group: Figures(Errors.of(starts[group]), Errors.of(ends[group]), round(100 * found[group] / asked[group], 1))
        for group in (*GROUPS, AFTER_PAUSES)
        if starts[group]
    }, dict(sources)


def after_pauses(row: dict[str, Any]) -> set[float]:
    """The starts of the words that follow a pause, in a file of clean English with exact times."""
    if not exact(row) or row["language"] != "en" or not {"clean", "long"} & tags(row):
        return set()
    timed = [word for word in row["words"] if "s" in word]
    return {after["s"] for before, after in itertools.pairwise(timed) if after["s"] - before["e"] >= PAUSE_S}


def drift(kit: Path, model: str) -> tuple[Errors, Errors]:
    """Errors of the starts in the first and in the last tenth of the file of an hour."""
    rows = map(json.loads, (kit / "tts" / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
    row = next(row for row in rows if "60min" in row["path"])
    with build_transcriber() as transcriber:
        options = TranscribeOptions(language=row["language"])
        words = transcriber.transcribe(kit / "tts" / row["path"], options, model=model).words
    heard = [{"w": word.text, "s": word.start_s, "e": word.end_s, "p": word.probability} for word in words]
    result = scorer(kit).score_file(row, {"words": heard, "text": " ".join(word.text for word in words)})
    tenth = row["duration_s"] / 10
    first = [error for error, _, at in result["start"] if at < tenth]
    last = [error for error, _, at in result["start"] if at >= 9 * tenth]
    return Errors.of(first), Errors.of(last)


def show(figures: dict[str, Figures]) -> None:
    print("| group | edge | words | found % | bias | median | mean | p95 | within 20/50/100/200 ms, % |")
    print("|---|---|---|---|---|---|---|---|---|")
    for group, figure in figures.items():
        for edge, errors in (("start", figure.start), ("end", figure.end)):
            within = " / ".join(f"{share:.0f}" for share in errors.within)
            numbers = f"{errors.bias:.0f} | {errors.median:.1f} | {errors.mean:.0f} | {errors.p95:.0f}"
            print(f"| {group} | {edge} | {errors.words} | {figure.found:.0f} | {numbers} | {within} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="base")
    parser.add_argument("--aligner", default="auto")
    parser.add_argument("--half", type=int, choices=(0, 1))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--drift", action="store_true")
    given = parser.parse_args()
    if "AUTORAG_WHISPER_KIT" not in os.environ:
        sys.exit("set AUTORAG_WHISPER_KIT to the kit's folder")
    if given.drift:
        for tenth, errors in zip(
            ("first", "last"), drift(Path(os.environ["AUTORAG_WHISPER_KIT"]), given.model), strict=True
        ):
            print(f"{tenth} tenth: {errors.words} words, bias {errors.bias} ms, median {errors.median} ms")
        return
    figures, sources = measure(Path(os.environ["AUTORAG_WHISPER_KIT"]), given.model, given.aligner, given.half)
    show(figures)
    print("words by aligner:", sources)
    if given.json:
        given.json.write_text(json.dumps({group: asdict(f) for group, f in figures.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()

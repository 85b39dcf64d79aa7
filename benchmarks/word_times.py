"""Word times against the truth: synthetic speech with exact times, recordings with times by phoneticians.

    .venv/bin/python benchmarks/word_times.py [--model base] [--aligner auto] [--half 0|1] [--json F]
    .venv/bin/python benchmarks/word_times.py --engine fw-sequential    # a peer of benchmarks/compare in our place
    .venv/bin/python benchmarks/word_times.py --drift       # the hour: its first tenth against its last
    .venv/bin/python benchmarks/word_times.py --plot benchmarks/results/word-times.png ours=F1 faster-whisper=F2

AUTORAG_WHISPER_KIT names the recordings.

Errors are in milliseconds, starts and ends apart, over the words that were recognised right; `found` is their share of
all words with a true time. Matching is the kit's own (`score.py`). Ours is told the language, a peer finds it.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.request import DEFAULT_TEMPERATURES, TranscribeOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Row = dict[str, Any]
    """A line of a manifest."""
    Words = list[dict[str, Any]]
    """Words as they leave us, {"w", "s", "e", "p"}."""
    Hear = Callable[[Path, Row], Words]

GROUPS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "clean English, exact": lambda row: row["language"] == "en" and {"clean"} <= tags(row) and exact(row),
    "noisy, telephone, reverberant": lambda row: exact(row) and not {"clean", "long", "espeak"} & tags(row),
    "ten minutes": lambda row: row["path"].startswith("long_10min"),
    "other languages, exact": lambda row: row["language"] != "en" and exact(row),
    "human": lambda row: row.get("word_trust") == "human" and "overlap" not in tags(row),
    "digits at known places": lambda row: row.get("word_trust") == "constructed",
}
PAUSE_S = 1.0
AFTER_PAUSES = "after pauses of 1 s and more, exact"
NUMBERS, PLAIN = "numbers and abbreviations, exact", "plain words, exact"
"""Groups of words, not of files: of clean English with exact times; after pauses also of the ten minutes."""
WITHIN_MS = (20, 50, 100, 200)
ABBREVIATED = {"dr", "mr", "mrs", "ms", "st", "vs", "etc", "prof", "jr", "sr"}
QUANTILES = tuple(range(101))


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
    quantiles: tuple[float, ...]
    """Of the sizes, from the smallest to the largest in steps of a hundredth."""

    @classmethod
    def of(cls, errors_s: Sequence[float]) -> Errors:
        signed = 1000 * np.asarray(errors_s)
        size = np.abs(signed)
        within = tuple(round(100 * float(np.mean(size <= limit)), 1) for limit in WITHIN_MS)
        figures = (np.median(signed), np.median(size), size.mean(), np.percentile(size, 95))
        rounded = (round(float(figure), 1) for figure in figures)
        return cls(len(size), *rounded, within, tuple(np.round(np.percentile(size, QUANTILES), 1).tolist()))


@dataclass(frozen=True, slots=True)
class Figures:
    """A group's figures. Of `asked` words with a true time so many percent were `found`; `heard`: words that came out,
    0 for a group of words."""

    start: Errors
    end: Errors
    found: float
    asked: int
    heard: int

    def recall(self, errors: Errors) -> list[float]:
        """Percent of all words with a true time that are within `WITHIN_MS`: a misheard word is a miss."""
        return [round(share * errors.words / self.asked, 1) for share in errors.within]

    def precision(self, errors: Errors) -> list[float]:
        """Percent of all words that came out that are right and within `WITHIN_MS`."""
        return [round(share * errors.words / self.heard, 1) if self.heard else 0.0 for share in errors.within]


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


@dataclass(slots=True)
class Tally:
    """The errors of a group so far, in seconds; how many of its words were `asked` for, and came out (`heard`)."""

    asked: int = 0
    heard: int = 0
    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)

    def add(self, asked: int, errors: Sequence[tuple[float, float]]) -> None:
        self.asked += asked
        self.starts += [start for start, _ in errors]
        self.ends += [end for _, end in errors]

    def figures(self) -> Figures:
        found = round(100 * len(self.starts) / self.asked, 1)
        return Figures(Errors.of(self.starts), Errors.of(self.ends), found, self.asked, self.heard)


def measure(
    kit: Path,
    model: str,
    aligner: str,
    half: int | None = None,
    only: Callable[[Row], bool] = lambda _: True,
    temperatures: tuple[float, ...] = DEFAULT_TEMPERATURES,
) -> tuple[dict[str, Figures], dict[str, int]]:
    """Our figures by group, and how many words each aligner timed."""
    sources: Counter[str] = Counter()
    with ours(model, aligner, sources, temperatures) as hear:
        return figures_of(hear, [row for row in rows_of(kit, model, half) if only(row[1])], scorer(kit)), dict(sources)


def figures_of(hear: Hear, rows: Sequence[tuple[Path, Row]], score: Any) -> dict[str, Figures]:
    tallies = {group: Tally() for group in (*GROUPS, AFTER_PAUSES, NUMBERS, PLAIN)}
    for folder, row in rows:
        words = hear(folder / row["path"], row)
        result = score.score_file(row, {"words": words, "text": " ".join(word["w"] for word in words)})
        both = zip(result["start"], result["end"], strict=True)
        errors = {start[2]: (start[0], end[0]) for start, end in both}  # by the word's true start
        for group in (name for name, member in GROUPS.items() if member(row)):
            tallies[group].add(result["ref_timed"], list(errors.values()))
            tallies[group].heard += len(words)
        for group, chosen in word_groups(row).items():
            tallies[group].add(len(chosen), [errors[at] for at in chosen if at in errors])
    return {group: tally.figures() for group, tally in tallies.items() if tally.starts}


@contextmanager
def ours(
    model: str, aligner: str, sources: Counter[str], temperatures: tuple[float, ...] = DEFAULT_TEMPERATURES
) -> Iterator[Hear]:
    with build_transcriber() as transcriber:

        def hear(path: Path, row: Row) -> Words:
            options = TranscribeOptions(language=row["language"], aligner=aligner, temperatures=temperatures)
            words = transcriber.transcribe(path, options, model=model).words
            sources.update(str(word.source) for word in words)
            return [{"w": word.text, "s": word.start_s, "e": word.end_s, "p": word.probability} for word in words]

        yield hear


def peer(engine: str, model: str) -> Hear:
    """An engine of `benchmarks.compare`."""
    from benchmarks.compare.engines import load
    from benchmarks.compare.job import EngineChoice, Job
    from benchmarks.compare.launch import WARM_UP, model_folder

    threads = len(os.sched_getaffinity(0))
    loaded = load(Job(EngineChoice.parse(engine), model, str(model_folder(model)), threads, (), str(WARM_UP)))
    return lambda path, _: list(next(iter(loaded.run([str(path)]))).words)


def word_groups(row: Row) -> dict[str, set[float]]:
    """The true starts of the words that belong to a group of words, in a file of clean English with exact times."""
    if not exact(row) or row["language"] != "en" or not {"clean", "long"} & tags(row):
        return {}
    timed = [word for word in row["words"] if "s" in word]
    late = {after["s"] for before, after in itertools.pairwise(timed) if after["s"] - before["e"] >= PAUSE_S}
    if "clean" not in tags(row):
        return {AFTER_PAUSES: late}
    numbers = {word["s"] for word in timed if not spoken_as_written(word["w"])}
    return {AFTER_PAUSES: late, NUMBERS: numbers, PLAIN: {word["s"] for word in timed} - numbers}


def spoken_as_written(word: str) -> bool:
    """False for what is read otherwise than it is spelled: digits, signs, "Dr.", "e.g." and BBC."""
    core = word.strip('.,;:!?"()')
    letters = core.replace("'", "").replace("-", "")
    return letters.isalpha() and not (len(core) > 1 and core.isupper()) and core.casefold() not in ABBREVIATED


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
    columns = ("group", "edge", "words", "found %", "bias", "median", "mean", "p95")
    print("|", " | ".join(columns), "| within 20/50/100/200 ms, % | recall | precision |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for group, figure in figures.items():
        for edge, errors in (("start", figure.start), ("end", figure.end)):
            shares = (errors.within, figure.recall(errors), figure.precision(errors) if figure.heard else ())
            within = " | ".join(" / ".join(f"{share:.0f}" for share in one) for one in shares)
            numbers = f"{errors.bias:.0f} | {errors.median:.1f} | {errors.mean:.0f} | {errors.p95:.0f}"
            print(f"| {group} | {edge} | {errors.words} | {figure.found:.0f} | {numbers} | {within} |")


def plot(path: Path, files: dict[str, Path]) -> None:
    """Which share of the right words is within how many milliseconds: a line for each file of `--json`."""
    import matplotlib as mpl

    mpl.use("Agg")  # no screen is needed
    from matplotlib import pyplot as plt

    groups = ("clean English, exact", "noisy, telephone, reverberant", "human")
    figure, axes = plt.subplots(2, len(groups), figsize=(10, 5.6), sharex=True, sharey=True, layout="constrained")
    for name, file in files.items():
        figures = json.loads(file.read_text())
        for column, group in enumerate(groups):
            for row, edge in enumerate(("start", "end")):
                axes[row, column].plot(figures[group][edge]["quantiles"], QUANTILES, label=name, linewidth=1.6)
    for column, group in enumerate(groups):
        axes[0, column].set_title(group, loc="left", size=10, weight="bold")
        axes[1, column].set_xlabel("error of at most ... ms", size=9)
    for row, edge in enumerate(("starts", "ends")):
        axes[row, 0].set_ylabel(f"{edge}: % of the words", size=9)
    for axis in axes.flat:
        axis.set_xscale("log")
        axis.set_xlim(5, 1000)
        axis.set_xticks([10, 20, 50, 100, 200, 500], ["10", "20", "50", "100", "200", "500"])
        axis.minorticks_off()
        axis.set_ylim(0, 100)
        axis.grid(color="#e3e3e3", linewidth=0.8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1, 2].legend(frameon=False, fontsize=8.5, loc="lower right")
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base")
    parser.add_argument("--aligner", default="auto")
    parser.add_argument("--engine", help="a peer's name in benchmarks/compare; ours without it")
    parser.add_argument("--half", type=int, choices=(0, 1))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--drift", action="store_true")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("lines", nargs="*", help="NAME=FILE, for --plot")
    given = parser.parse_args()
    if given.plot:
        plot(given.plot, {name: Path(file) for name, _, file in (line.partition("=") for line in given.lines)})
        return
    if "AUTORAG_WHISPER_KIT" not in os.environ:
        sys.exit("set AUTORAG_WHISPER_KIT to the kit's folder")
    kit = Path(os.environ["AUTORAG_WHISPER_KIT"])
    if given.drift:
        for tenth, errors in zip(("first", "last"), drift(kit, given.model), strict=True):
            print(f"{tenth} tenth: {errors.words} words, bias {errors.bias} ms, median {errors.median} ms")
        return
    if given.engine:
        hear = peer(given.engine, given.model)
        figures = figures_of(hear, list(rows_of(kit, given.model, given.half)), scorer(kit))
        show(figures)
    else:
        figures, sources = measure(kit, given.model, given.aligner, given.half)
        show(figures)
        print("words by aligner:", sources)
    if given.json:
        given.json.write_text(json.dumps({group: asdict(f) for group, f in figures.items()}) + "\n")


if __name__ == "__main__":
    main()

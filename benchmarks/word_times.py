"""Word times against the truth: synthetic speech with exact times, recordings with times by people.

    .venv/bin/python benchmarks/word_times.py [--model base] [--aligner auto] [--half 0|1] [--json F]
    .venv/bin/python benchmarks/word_times.py --only hesitant --only human       # groups whose name holds one of these
    .venv/bin/python benchmarks/word_times.py --worst 20                         # and the words that are furthest off
    .venv/bin/python benchmarks/word_times.py --watch tests/data/word-times.json # what the acceptance test holds it to,
                                                 # with --only these groups alone of it, the others as they were
    .venv/bin/python benchmarks/word_times.py --engine fw-sequential    # a peer of benchmarks/compare in our place
    .venv/bin/python benchmarks/word_times.py --drift       # the hour: its first tenth against its last
    .venv/bin/python benchmarks/word_times.py --plot benchmarks/results/word-times.png ours=F1 faster-whisper=F2

AUTORAG_WHISPER_KIT names the recordings; `timing/made.py` makes more of them, `timing/groups.py` says what is in which
group.

Errors are in milliseconds, starts and ends apart, over the words that were recognised right; `found` is their share of
all words with a true time. Matching is the kit's own (`score.py`). Ours is told the language, a peer finds it.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import re
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.request import DEFAULT_TEMPERATURES, TranscribeOptions
from autorag_whisper.telemetry import STAGE, STAGE_DURATION, Telemetry
from benchmarks.timing.figures import QUANTILES, Errors, Figures, Tally, TimedPair, show
from benchmarks.timing.groups import GROUPS, WORD_GROUPS, rows_of, spoken_as_written, word_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from autorag_whisper.telemetry import AttributeValue
    from benchmarks.timing.groups import Row

    Words = list[dict[str, Any]]
    """Words as they leave us, {"w", "s", "e", "p"}."""
    Hear = Callable[[Path, Row], Words]


class Stages(Telemetry):
    """Keeps how long the engine recognised and aligned, in seconds, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: Counter[str] = Counter()

    def duration(self, name: str, seconds: float, attributes: Mapping[str, AttributeValue]) -> None:
        if name == STAGE_DURATION:
            self.seconds[str(attributes[STAGE])] += seconds

    @property
    def align_share(self) -> float:
        """The alignment's share of the time in the engine, in percent."""
        return round(100 * self.seconds["align"] / max(1e-9, sum(self.seconds.values())), 1)


def scorer(kit: Path) -> Any:
    """The kit's `score.py` as a module."""
    spec = importlib.util.spec_from_file_location("kit_score", kit / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
        tallies = listened(hear, kit, model, half, only)
        return {group: tally.figures() for group, tally in tallies.items()}, dict(sources)


def watched(
    kit: Path, model: str, only: Callable[[Row], bool] = lambda _: True
) -> tuple[dict[str, Figures], dict[str, int]]:
    """What the acceptance test looks at: all but the long files, without samples.

    These are drawn, and one that runs on moves the precision of the noisy copies by ten points.
    """
    return measure(kit, model, "auto", only=lambda row: "long" not in row["tags"] and only(row), temperatures=(0.0,))


def record(path: Path, model: str, figures: dict[str, Figures], sources: Collection[str], *, is_part: bool) -> None:
    """Write what was `watched` of a model into `path`, beside that of others; of a part, beside its other groups."""
    known = json.loads(path.read_text()) if path.is_file() else {}
    before = known[model] if is_part else {"sources": [], "groups": {}}
    groups: dict[str, Any] = before["groups"]
    for group, found in figures.items():
        groups[group] = {"found": found.found, "far": found.far}
        for edge, errors in (("start", found.start), ("end", found.end)):
            groups[group][edge] = {
                "median": errors.median, "mean": errors.mean, "p95": errors.p95, "right": errors.within,
                "recall": found.recall(errors), "precision": found.precision(errors),
            }  # fmt: skip
    known[model] = {"sources": sorted({*before["sources"], *sources}), "groups": groups}
    text = json.dumps(known, indent=1, sort_keys=True)
    path.write_text(re.sub(r"\[[^\]]*\]", lambda found: " ".join(found[0].split()), text) + "\n")


def listened(
    hear: Hear, kit: Path, model: str, half: int | None = None, only: Callable[[Row], bool] = lambda _: True
) -> dict[str, Tally]:
    """The words of every group that has any."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = [(folder, row) for folder, row in rows_of(kit, Path(scratch), model, half) if only(row)]
        return tallied(hear, rows, scorer(kit))


def tallied(hear: Hear, rows: Sequence[tuple[Path, Row]], score: Any) -> dict[str, Tally]:
    tallies = {group: Tally() for group in (*GROUPS, *WORD_GROUPS)}
    for folder, row in rows:
        words = without_broken_off(hear(folder / row["path"], row), row.get("broken", ()))
        result = score.score_file(row, {"words": words, "text": " ".join(word["w"] for word in words)})
        pairs = paired(row, result, words)
        overlaps = sum(later["s"] < earlier["e"] - 1e-6 for earlier, later in itertools.pairwise(words))
        for group in (name for name, member in GROUPS.items() if member(row)):
            tallies[group].add(result["ref_timed"], pairs.values())
            tallies[group].heard += len(words)
            tallies[group].overlaps += overlaps
        for group, chosen in word_groups(row).items():
            tallies[group].add(len(chosen), [pairs[at] for at in chosen if at in pairs])
    return {group: tally for group, tally in tallies.items() if tally.pairs}


def pairs_of(hear: Hear, path: Path, row: Row, score: Any) -> list[TimedPair]:
    """The words of one recording that were recognised right."""
    words = hear(path, row)
    result = score.score_file(row, {"words": words, "text": " ".join(word["w"] for word in words)})
    return list(paired(row, result, words).values())


def paired(row: Row, result: dict[str, Any], words: Sequence[dict[str, Any]] = ()) -> dict[float, TimedPair]:
    """By the word's true start. `words`: all that came out.

    Of a word that was said several times and came out less often, the saying that is nearest counts, in the order of
    the text. Words that came out as one ("B7-" for "B" and "7") are one: from the first start to the last end. So are
    words of which the score finds one alone, where they are written short: "64GB" for "64" lasts as long as "64
    gigabytes", and "million" of "40 million dollars" is found for that of "$40 million", which sounds as both do.
    """
    said = [word for word in row["words"] if "s" in word]
    both = zip(result["start"], result["end"], strict=True)
    found = {start[2]: (start[1], start[2] + start[0], end[2] + end[0]) for start, end in both}
    where = [n for n, word in enumerate(said) if word["s"] in found]
    spans: dict[int, tuple[float, float]] = {}
    latest = -1
    for at, behind in itertools.zip_longest(where, where[1:], fillvalue=len(said)):
        free = range(latest + 1, behind)
        sayings = [n for n in free if n == at or letters(said[n]["w"]) == letters(said[at]["w"])]
        start = found[said[at]["s"]][1]
        latest = min(sayings, key=lambda n: (abs(said[n]["s"] - start), n != at))
        spans[at] = said[latest]["s"], said[latest]["e"]
    pairs: dict[float, TimedPair] = {}
    for _, one in itertools.groupby(where, key=lambda n: [round(edge, 4) for edge in found[said[n]["s"]][1:]]):
        several = list(one)
        true_start, true_end = spans[several[0]][0], spans[several[-1]][1]
        for n in several:
            name, start, end = found[said[n]["s"]]
            pairs[said[n]["s"]] = TimedPair(f"{row['path']}: {name}", true_start, true_end, start, end)
    matched = {_span(start, end) for _, start, end in found.values()}
    for n, behind in itertools.zip_longest(where, where[1:], fillvalue=len(said)):
        lost, before = said[n + 1 : behind], said[n - 1]["w"] if n else ""
        at = said[n]["s"]
        pairs[at] = _with_unfound(pairs[at], said[n]["w"], before, lost, words, matched)
    return pairs


def _with_unfound(
    pair: TimedPair,
    name: str,
    before: str,
    lost: Sequence[dict[str, Any]],
    words: Sequence[dict[str, Any]],
    matched: Collection[tuple[float, float]],
) -> TimedPair:
    """A pair with what belongs to it and is not found in it, where one of both sides is written short.

    `before`: the true word before it; `lost`: true words behind it that did not come out. `matched`: spans of the words
    that came out right.
    """
    at = next((n for n, word in enumerate(words) if _span(word["s"], word["e"]) == _span(pair.start, pair.end)), None)
    if at is None:
        return pair
    out = words[at]["w"]
    if not spoken_as_written(out) and letters(out) != letters(name) and letters(out).startswith(letters(name)):
        inside = itertools.takewhile(lambda word: (word["s"] + word["e"]) / 2 < pair.end, lost)
        return replace(pair, true_end=max([pair.true_end, *(word["e"] for word in inside)]))
    if not lost and before and not spoken_as_written(before):
        extra = itertools.takewhile(lambda word: _span(word["s"], word["e"]) not in matched, words[at + 1 :])
        inside = itertools.takewhile(lambda word: (word["s"] + word["e"]) / 2 < pair.true_end, extra)
        return replace(pair, end=max([pair.end, *(word["e"] for word in inside)]))
    return pair


def _span(start: float, end: float) -> tuple[float, float]:
    return round(start, 4), round(end, 4)


def without_broken_off(words: Words, broken: Sequence[Sequence[float]]) -> Words:
    """Words that came out but for those written for a broken-off beginning, with the whole word behind them.

    `broken`: spans of the beginnings, in seconds. They are no words of the true text, and not wrong.
    """
    return [
        word
        for word, behind in itertools.zip_longest(words, words[1:])
        if behind is None
        or letters(word["w"]) != letters(behind["w"])
        or not any(start <= (word["s"] + word["e"]) / 2 <= end for start, end in broken)
    ]


def letters(word: str) -> str:
    return re.sub(r"\W", "", word).casefold()


@contextmanager
def ours(
    model: str,
    aligner: str,
    sources: Counter[str],
    temperatures: tuple[float, ...] = DEFAULT_TEMPERATURES,
    telemetry: Telemetry | None = None,
) -> Iterator[Hear]:
    with build_transcriber(telemetry=telemetry) as transcriber:

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


def plot(path: Path, files: dict[str, Path]) -> None:
    """Which share of the right words is within how many milliseconds: a line for each file of `--json`."""
    import matplotlib as mpl

    mpl.use("Agg")  # no screen is needed
    from matplotlib import pyplot as plt

    groups = ("clean English, exact", "hesitant", "human, spontaneous")
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


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base")
    parser.add_argument("--aligner", default="auto")
    parser.add_argument("--engine", help="a peer's name in benchmarks/compare; ours without it")
    parser.add_argument("--half", type=int, choices=(0, 1))
    parser.add_argument("--only", action="append", help="groups of files whose name holds this; may be given again")
    parser.add_argument("--worst", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--watch", type=Path)
    parser.add_argument("--drift", action="store_true")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("lines", nargs="*", help="NAME=FILE, for --plot")
    return parser.parse_args()


def main() -> None:
    given = parse()
    if given.plot:
        plot(given.plot, {name: Path(file) for name, _, file in (line.partition("=") for line in given.lines)})
        return
    if "AUTORAG_WHISPER_KIT" not in os.environ:
        sys.exit("set AUTORAG_WHISPER_KIT to the kit's folder")
    kit = Path(os.environ["AUTORAG_WHISPER_KIT"])
    wanted = [member for name, member in GROUPS.items() if not given.only or any(part in name for part in given.only)]

    def only(row: Row) -> bool:
        return any(member(row) for member in wanted)

    if given.watch:
        figures, heard = watched(kit, given.model, only)
        show(figures)
        chosen = {name for name in figures if given.only is None or any(part in name for part in given.only)}
        found = {name: figures[name] for name in chosen}
        record(given.watch, given.model, found, heard, is_part=bool(given.only))
        return
    if given.drift:
        for tenth, errors in zip(("first", "last"), drift(kit, given.model), strict=True):
            print(f"{tenth} tenth: {errors.words} words, bias {errors.bias} ms, median {errors.median} ms")
        return
    sources: Counter[str] = Counter()
    stages = Stages()
    if given.engine:
        tallies = listened(peer(given.engine, given.model), kit, given.model, given.half, only)
    else:
        with ours(given.model, given.aligner, sources, telemetry=stages) as hear:
            tallies = listened(hear, kit, given.model, given.half, only)
    figures = {group: tally.figures() for group, tally in tallies.items()}
    show(figures)
    if sources:
        print(f"words by aligner: {dict(sources)}; alignment takes {stages.align_share} % of the engine's time")
    for pair in worst(tallies, given.worst):
        print(f"{pair.name}: true {pair.true_start:.2f}-{pair.true_end:.2f}, {pair.start:.2f}-{pair.end:.2f}")
    if given.json:
        given.json.write_text(json.dumps({group: asdict(f) for group, f in figures.items()}) + "\n")


def worst(tallies: dict[str, Tally], count: int) -> list[TimedPair]:
    pairs = {pair for group in tallies for pair in tallies[group].pairs}
    return sorted(pairs, key=lambda pair: pair.off_by, reverse=True)[:count]


if __name__ == "__main__":
    main()

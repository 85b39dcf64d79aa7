"""A comparison as Markdown, in the form in which README quotes it."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benchmarks.compare.job import ENGINES
from benchmarks.compare.recordings import GROUPS
from benchmarks.compare.summary import pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.compare.summary import Comparison, Cost, Figures

NONE = "-"


def markdown(comparison: Comparison) -> str:
    """Where and how it was measured, then a table each for speed, cost, errors and differences."""
    parts = [
        f"### {comparison.name}",
        _about(comparison),
        "\n".join(f"- `{engine}`: {ENGINES[engine.partition(':')[0]]}" for engine in comparison.engines),
        _section("Speed, x real time: median (range)", comparison, _speed),
        _times_as_fast(comparison),
        _section("Processor seconds for each second of audio", comparison, _cost_cell(_cpu)),
        _section("Peak memory, GB", comparison, _cost_cell(lambda cost: f"{cost.peak_mb / 1024:.2f}")),
        _section("Wall time x workers over the engine's own time", comparison, _cost_cell(_overhead)),
        _section("Word error rate, % (deletions, insertions)", comparison, _errors),
        _section("Words invented where nobody speaks", comparison, _invented),
        _differences(comparison),
        _lost(comparison),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _times_as_fast(comparison: Comparison) -> str:
    """Of every pair, by the medians."""
    rows, wanted = [], pairs(comparison.engines)
    for group, engines in comparison.groups.items():
        speeds = {engine: figures.cost.speed.median for engine, figures in engines.items() if figures.cost}
        if speeds:
            rows.append([GROUPS[group][0], *(f"{speeds[engine] / speeds[peer]:.1f}" for engine, peer in wanted)])
    heads = [f"{engine} / {peer}" for engine, peer in wanted]
    return f"**Times as fast**\n\n{_table(['', *heads], rows)}" if wanted and rows else ""


def _section(title: str, comparison: Comparison, cell: Callable[[Figures], str]) -> str:
    """A table: a row for each group in which any engine has a figure, a column for each engine."""
    rows = [
        [_of_group(group, engines), *(cell(engines[engine]) for engine in comparison.engines)]
        for group, engines in comparison.groups.items()
    ]
    rows = [row for row in rows if set(row[1:]) != {NONE}]
    return f"**{title}**\n\n" + _table(["", *comparison.engines], rows) if rows else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _of_group(group: str, engines: dict[str, Figures]) -> str:
    figures = next(iter(engines.values()))
    files = f"{figures.files} files, " if figures.files > 1 else ""
    return f"{GROUPS[group][0]} ({files}{figures.audio_s / 60:.1f} min)"


def _cost_cell(show: Callable[[Cost], str]) -> Callable[[Figures], str]:
    return lambda figures: show(figures.cost) if figures.cost else NONE


def _speed(figures: Figures) -> str:
    if figures.cost is None:
        return NONE
    speed = figures.cost.speed
    return f"{speed.median:.1f} ({speed.low:.1f} to {speed.high:.1f})"


def _cpu(cost: Cost) -> str:
    return f"{cost.cpu_s_per_audio_s.median:.3f}"


def _overhead(cost: Cost) -> str:
    own = f" (by its own account {cost.own_overhead:.2f})" if cost.own_overhead else ""
    return f"{cost.overhead:.2f}{own}" if cost.overhead else NONE


def _errors(figures: Figures) -> str:
    if figures.wer is None:
        return NONE
    share = 100 / figures.errors.words
    deleted, added = figures.errors.deletions * share, figures.errors.insertions * share
    return f"{figures.wer.points:.1f} ({deleted:.1f}, {added:.1f})"


def _invented(figures: Figures) -> str:
    return NONE if figures.errors.words or not figures.errors else f"{figures.errors.insertions:g}"


def _about(comparison: Comparison) -> str:
    told = comparison.about | {"load": _loads(comparison)}
    return "; ".join(f"{key}: {value}" for key, value in told.items())


def _loads(comparison: Comparison) -> str:
    """The seconds each engine takes to load, by the medians of its runs."""
    seconds = {e: median(run["load_s"] for run in comparison.runs if run["engine"] == e) for e in comparison.engines}
    return ", ".join(f"{engine} {load_s:.1f} s" for engine, load_s in seconds.items())


def _differences(comparison: Comparison) -> str:
    """Ours minus each peer; what 0 is outside of is bold."""
    pairs = list(dict.fromkeys(pair for found in comparison.differences.values() for pair in found))
    rows = []
    for group, found in comparison.differences.items():
        cells = []
        for pair in pairs:
            interval = found[pair]
            text = f"{interval.points:+.1f}"
            if interval.low is not None:
                text += f" ({interval.low:+.1f} to {interval.high:+.1f})"
            cells.append(f"**{text}**" if interval.is_settled else text)
        rows.append([GROUPS[group][0], *cells])
    title = (
        "Difference in word error rate, points (95 % interval by paired bootstrap, from 5 files on; bold: 0 is outside)"
    )
    return f"**{title}**\n\n{_table(['', *pairs], rows)}" if rows else ""


def _lost(comparison: Comparison) -> str:
    everywhere = dict.fromkeys(comparison.engines, 0)
    for run in comparison.runs:
        everywhere[run["engine"]] += run["lost_files"]
    told = ", ".join(f"{engine} {lost}" for engine, lost in everywhere.items() if lost)
    return f"Files at which an engine failed, over all runs: {told}." if told else ""

"""A comparison as pictures: speed, errors and memory of every engine, group by group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")  # no screen is needed

from matplotlib import pyplot as plt

from benchmarks.compare.recordings import GROUPS
from benchmarks.compare.summary import OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.compare.summary import Comparison, Figures

_OURS = ("#0b4f8a", "#3b8bd0", "#93c1ea", "#c9dff4")
_PEERS = {"fw-sequential": "#8d99a6", "fw-batched": "#e08e0b", "whisperx": "#2a9d76"}
_BAR = 0.8
"""The height of a group's bars together; the groups are 1 apart."""

Bar = tuple[float, float, float]
"""A value with the ends of its whisker."""


def draw(comparison: Comparison, folder: Path) -> list[Path]:
    """Write `NAME-speed.png`, `NAME-errors.png` and `NAME-memory.png`; those of which there is anything to show."""
    pictures = {
        "speed": ("Speed, \N{MULTIPLICATION SIGN} real time (whisker: range of the runs; longer is better)", _speed),
        "errors": ("Word error rate, % (whisker: 95 % interval, from 5 files on; shorter is better)", _errors),
        "memory": ("Peak memory, GB (shorter is better)", _memory),
    }
    drawn = [
        _draw(comparison, title, bar, folder / f"{comparison.name}-{name}.png")
        for name, (title, bar) in pictures.items()
    ]
    return [path for path in drawn if path]


def _speed(figures: Figures) -> Bar | None:
    speed = figures.cost and figures.cost.speed
    return (speed.median, speed.low, speed.high) if speed else None


def _errors(figures: Figures) -> Bar | None:
    wer = figures.wer
    if wer is None:
        return None
    return (wer.points, wer.points if wer.low is None else wer.low, wer.points if wer.high is None else wer.high)


def _memory(figures: Figures) -> Bar | None:
    if figures.cost is None:
        return None
    gb = figures.cost.peak_mb / 1024
    return gb, gb, gb


def _draw(comparison: Comparison, title: str, bar: Callable[[Figures], Bar | None], path: Path) -> Path | None:
    groups = [group for group, engines in comparison.groups.items() if all(map(bar, engines.values()))]
    if not groups:
        return None
    engines = comparison.engines
    figure, axes = plt.subplots(figsize=(8.5, 1.3 + len(groups) * (0.26 + 0.19 * len(engines))), layout="constrained")
    for n, engine in enumerate(engines):
        bars = [bar(comparison.groups[group][engine]) for group in groups]
        _bars(axes, [b for b in bars if b], engine, n, engines)
    _dress(axes, comparison, title, groups)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def _bars(axes: Axes, bars: Sequence[Bar], engine: str, place: int, engines: Sequence[str]) -> None:
    """One engine's bars, one in each group, each with its value at the end of its whisker."""
    height = _BAR / len(engines)
    at = [group + (place + 0.5) * height - _BAR / 2 for group in range(len(bars))]
    values = [value for value, _, _ in bars]
    whiskers = [[value - low for value, low, _ in bars], [high - value for value, _, high in bars]]
    has_whiskers = any(high > low for _, low, high in bars)
    axes.barh(
        at, values, height * 0.9, label=engine, color=_colour(engine, engines),
        xerr=whiskers if has_whiskers else None, error_kw={"elinewidth": 0.9, "ecolor": "#333333", "capsize": 2},
    )  # fmt: skip
    digits = ".1f" if max(values) >= 3 else ".2f"
    for y, (value, _, high) in zip(at, bars, strict=True):
        axes.annotate(
            f"{value:{digits}}", (max(value, high), y), (4, 0), textcoords="offset points", va="center", size=7.5
        )


def _colour(engine: str, engines: Sequence[str]) -> str:
    """A colour of its own for every peer; shades of one for the variants of ours."""
    name = engine.partition(":")[0]
    if name != OURS:
        return _PEERS[name]
    mine = [other for other in engines if other.partition(":")[0] == OURS]
    return _OURS[mine.index(engine) % len(_OURS)]


def _dress(axes: Axes, comparison: Comparison, title: str, groups: Sequence[str]) -> None:
    about = comparison.about
    axes.set_yticks(range(len(groups)), [GROUPS[group][0] for group in groups])
    axes.invert_yaxis()
    axes.set_title(title, loc="left", size=11, weight="bold")
    where = "; ".join(about[key] for key in ("model", "machine", "date") if key in about)
    axes.set_xlabel(where, size=8, color="#555555")
    axes.margins(x=0.1, y=0.02)
    axes.set_xlim(left=0)
    axes.grid(axis="x", color="#e3e3e3", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))

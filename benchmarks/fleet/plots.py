"""Pictures of what a fleet needs and of what bites, for docs/archives.md. Needs matplotlib (extra `bench`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from autorag_whisper.archive.sharded.cutting import Sizing
from benchmarks.fleet.model import Costs, Fleet, durations, many_shard_seconds, shard_seconds, simulate

if TYPE_CHECKING:
    from pathlib import Path

_MEAN_S, _BITES_AT, _SHARDS_EACH = 150.0, 128, 50_000
_STYLE = {"figure.dpi": 80, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def plot(costs: Costs, folder: Path) -> None:
    """Write `fleet_time.png` and `fleet_bites.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        _times(costs, folder / "fleet_time.png")
        _bites(costs, folder / "fleet_bites.png")


def _times(costs: Costs, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
    sizes = (1, 16, 128, 1024, 4096)
    for count in (10**5, 10**6, 10**7, 10**8):
        shards = many_shard_seconds(count, _MEAN_S, costs, Sizing(5.0, costs.speed), 1)
        workers = [n for n in sizes if len(shards) / n < _SHARDS_EACH]  # fewer would need years
        hours = [simulate(shards, Fleet(n, ramp_s=1.0), costs).wall_s / 3600 for n in workers]
        axes.loglog(workers, hours, marker="o", markersize=3, label=f"{count:.0e} recordings")
    for hours, name in ((1, "hour"), (24, "day"), (24 * 7, "week"), (24 * 365, "year")):
        axes.axhline(hours, color="0.85", linewidth=0.8, zorder=0)
        axes.annotate(name, (sizes[-1], hours), fontsize=8, color="0.4", va="bottom", ha="right")
    axes.set_xlabel("workers")
    axes.set_ylabel("hours")
    axes.legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


def _bites(costs: Costs, path: Path) -> None:
    lengths = durations(100_000, _MEAN_S, 1)
    fleets = {
        "even": Fleet(_BITES_AT),
        "speeds differ by a third": Fleet(_BITES_AT, unevenness=0.3),
        "the same, --shard I/N": Fleet(_BITES_AT, unevenness=0.3, shares=True),
        "a start every 10 s": Fleet(_BITES_AT, ramp_s=10.0),
        "nodes live 2 h": Fleet(_BITES_AT, hours_to_loss=2.0, again_s=180.0),
        "one write at a time": Fleet(_BITES_AT, writes_at_once=1),
    }
    minutes = (1.0, 2.0, 5.0, 10.0)
    figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
    ideal_s = float(lengths.sum()) / costs.speed / _BITES_AT
    for name, fleet in fleets.items():
        found = []
        for size in minutes:
            shards = shard_seconds(lengths, costs, Sizing(size, costs.speed), 1)
            found.append(100 * (simulate(shards, fleet, costs).wall_s / ideal_s - 1))
        axes.semilogy(minutes, found, marker="o", markersize=3, label=name)
    axes.set_xticks(minutes)
    axes.set_xlabel("minutes of work in a shard")
    axes.set_ylabel("% over recognition alone")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path)
    plt.close(figure)

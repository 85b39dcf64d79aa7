"""From runs to figures: speed, cost and errors of each engine on each group; ours against each peer."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.compare import bootstrap
from benchmarks.compare.bootstrap import Interval
from benchmarks.compare.recordings import GROUPS, in_sets
from benchmarks.compare.scoring import Errors, count_errors, mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.compare.launch import Done
    from benchmarks.compare.recordings import Recording

OURS = "ours"


@dataclass(frozen=True, slots=True)
class Range:
    """The median of the repetitions, and their extremes."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a group cost an engine. `speed`: seconds of audio in a second of wall time, the model loaded before.

    `overhead`: wall time x workers over the time inside the engine's calls, 1 at best; `own_overhead` the same by the
    engine's own account of its time, 0 where it gives none.
    """

    speed: Range
    cpu_s_per_audio_s: Range
    peak_mb: float
    load_s: float
    overhead: float
    own_overhead: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One engine on one group. `cost` is None where the group was not run apart, `wer` where there is no reference."""

    files: int
    audio_s: float
    lost_files: int
    cost: Cost | None
    wer: Interval | None
    errors: Errors


@dataclass(frozen=True, slots=True)
class Comparison:
    """A result: `about` says where and how; `differences`: group -> ours against a peer -> points of WER.

    `counts`: engine -> recording -> its errors, the mean of the repetitions; `runs`: the figures of every process.
    """

    name: str
    about: dict[str, str]
    engines: tuple[str, ...]
    groups: dict[str, dict[str, Figures]]
    differences: dict[str, dict[str, Interval]]
    runs: tuple[dict[str, Any], ...]
    counts: dict[str, dict[str, Errors]]

    def to_json(self) -> dict[str, Any]:
        """Every figure, rounded to what is worth reading."""
        return _rounded(asdict(self))

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Comparison:
        """What `to_json` wrote."""
        groups = {g: {e: _figures(item) for e, item in engines.items()} for g, engines in row["groups"].items()}
        differences = {g: {pair: Interval(**item) for pair, item in d.items()} for g, d in row["differences"].items()}
        counts = {e: {name: Errors(**item) for name, item in files.items()} for e, files in row["counts"].items()}
        return cls(row["name"], row["about"], tuple(row["engines"]), groups, differences, tuple(row["runs"]), counts)


def _figures(row: dict[str, Any]) -> Figures:
    cost, wer = row["cost"], row["wer"]
    if cost:
        ranges = {key: Range(**cost[key]) for key in ("speed", "cpu_s_per_audio_s")}
        cost = Cost(**cost | ranges)
    return Figures(**row | {"cost": cost, "wer": wer and Interval(**wer), "errors": Errors(**row["errors"])})


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def compare(name: str, about: dict[str, str], recordings: Sequence[Recording], done: Sequence[Done]) -> Comparison:
    """Every group that has a recording, for every engine that was run."""
    engines = tuple(dict.fromkeys(item.engine for item in done))
    counts = {engine: _counts(recordings, [item for item in done if item.engine == engine]) for engine in engines}
    members = {group: [r for r in recordings if is_in(r)] for group, (_, is_in) in GROUPS.items()}
    groups = {
        group: {e: _of_engine(rs, recordings, [d for d in done if d.engine == e], counts[e]) for e in engines}
        for group, rs in members.items()
        if rs
    }
    differences = {group: _differences(members[group], counts) for group in groups}
    runs = tuple(_run_row(item, recordings) for item in done)
    return Comparison(name, about, engines, groups, {g: d for g, d in differences.items() if d}, runs, counts)


def _counts(recordings: Iterable[Recording], done: Sequence[Done]) -> dict[str, Errors]:
    """The errors of one engine in every recording that has a reference. What it lost counts as nothing heard."""
    heard: dict[str, list[str]] = defaultdict(list)
    for item in done:
        for found in item.run.heard:
            heard[found.path].append(found.text)
    return {
        r.name: mean(count_errors(r.text, text, r.language) for text in heard[str(r.path)])
        for r in recordings
        if r.scored and heard[str(r.path)]
    }


def _of_engine(
    members: Sequence[Recording], recordings: Sequence[Recording], done: Sequence[Done], counts: Mapping[str, Errors]
) -> Figures:
    scored = [counts[r.name] for r in members if r.name in counts]
    referenced = [errors for errors in scored if errors.words]
    paths = {str(r.path) for r in members}
    lost = {heard.path for item in done for heard in item.run.heard if heard.error} & paths
    return Figures(
        files=len(members),
        audio_s=sum(r.duration_s for r in members),
        lost_files=len(lost),
        cost=_cost(members, recordings, done),
        wer=bootstrap.rate(referenced) if referenced else None,
        errors=_sum(scored),
    )


def _sum(counts: Sequence[Errors]) -> Errors:
    return Errors(
        sum(count.words for count in counts),
        sum(count.substitutions for count in counts),
        sum(count.deletions for count in counts),
        sum(count.insertions for count in counts),
    )


def _cost(members: Sequence[Recording], recordings: Sequence[Recording], done: Sequence[Done]) -> Cost | None:
    """None unless the group is made of whole sets: time cannot be told apart within a run."""
    sets, all_sets = in_sets(members), in_sets(recordings)
    if any(len(sets[name]) != len(all_sets[name]) for name in sets):
        return None
    audio_s = sum(r.duration_s for r in members)
    runs = [(item.repetition, item.run) for item in done if item.set_name in sets]
    rounds = [[run for n, run in runs if n == repetition] for repetition in sorted({n for n, _ in runs})]
    every = [run for _, run in runs]
    calls_s = sum(run.calls_s for run in every)
    engine_s = sum(heard.engine_s for run in every for heard in run.heard)
    worked_s = sum(run.wall_s * run.workers for run in every)
    return Cost(
        speed=_range(audio_s / sum(run.wall_s for run in runs) for runs in rounds),
        cpu_s_per_audio_s=_range(sum(run.cpu_s for run in runs) / audio_s for runs in rounds),
        peak_mb=median(max(run.peak_mb for run in runs) for runs in rounds),
        load_s=median(run.load_s for run in every),
        overhead=worked_s / calls_s if calls_s else 0.0,
        own_overhead=worked_s / engine_s if engine_s else 0.0,
    )


def _range(values: Iterable[float]) -> Range:
    known = list(values)
    return Range(median(known), min(known), max(known))


def pairs(engines: Sequence[str]) -> list[tuple[str, str]]:
    """What is compared: every variant of ours with every peer, and the others of ours with the first of them."""
    mine = [engine for engine in engines if engine.partition(":")[0] == OURS]
    peers = [engine for engine in engines if engine not in mine]
    return [(engine, peer) for engine in mine for peer in peers] + [(engine, mine[0]) for engine in mine[1:]]


def _differences(members: Sequence[Recording], counts: Mapping[str, Mapping[str, Errors]]) -> dict[str, Interval]:
    """Of every pair, on the files that have a reference."""
    names = [r.name for r in members if r.speech and r.scored]
    if not names:
        return {}
    return {
        f"{engine} - {peer}": bootstrap.difference([counts[engine][n] for n in names], [counts[peer][n] for n in names])
        for engine, peer in pairs(tuple(counts))
    }


def _run_row(item: Done, recordings: Sequence[Recording]) -> dict[str, Any]:
    run, audio_s = item.run, sum(r.duration_s for r in recordings if r.set_name == item.set_name)
    return {
        "set": item.set_name,
        "engine": item.engine,
        "repetition": item.repetition,
        "audio_s": audio_s,
        "speed": audio_s / run.wall_s,
        **{name: getattr(run, name) for name in ("load_s", "wall_s", "cpu_s", "peak_mb", "calls_s", "workers")},
        "engine_s": sum(heard.engine_s for heard in run.heard),
        "lost_files": sum(bool(heard.error) for heard in run.heard),
    }

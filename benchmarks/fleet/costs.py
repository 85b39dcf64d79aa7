"""What a worker costs here, from real runs of `archive run`: the numbers that the simulation is fed with.

A second is one of the processor (`by="cpu"`: also true beside other work) or of the clock (`by="wall"`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from autorag_whisper.transcriber.scheduler import LOOK_AHEAD_S
from benchmarks.archive import COMMAND, cut_clips, run
from benchmarks.fleet.model import Costs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_FEW, _MANY, _SHARDS = 2, 42, 7
_LONG_S, _MOST = 10.0, 42 * 64
"""How much longer many clips take than few: what a start takes differs by tenths of a second from run to run."""


@dataclass(frozen=True)
class Measured:
    """`costs` for the simulation, and where they come from: seconds for each stage of each second of audio.

    `load_s`: the model into memory, once a process. `decode_s`, `recognise_s`, `align_s`: for a second of audio, of the
    engine's time. `store_s`: for a part of 64 results, on this disk, synced.
    """

    costs: Costs
    by: str
    model: str
    load_s: float
    decode_s: float
    recognise_s: float
    align_s: float
    store_s: float

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def seconds_of(
    plan: Path, out: Path, model: str, by: str, environ: dict[str, str], starts_s: Sequence[float] = (0.0,)
) -> float:
    """Of a run by processes that are begun at `starts_s`; by the processor, those of the one that needs most."""
    began = time.monotonic()
    command = [*COMMAND, "archive", "run", str(plan), "-o", str(out), "-m", model, "-q"]
    count, going = len(starts_s), []
    for index, start_s in enumerate(starts_s):
        time.sleep(max(0.0, start_s - (time.monotonic() - began)))
        # Who is free takes more; on a busy machine that is chance.
        share = ["--shard", f"{index}/{count}"] if by == "cpu" else []
        going.append(subprocess.Popen([*command, *share], env=environ))
    used = []
    for process in going:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode in (0, 3), process.returncode
        used.append(usage.ru_utime + usage.ru_stime)
    return max(used) if by == "cpu" else time.monotonic() - began


def measure(folder: Path, source: Path, seconds: float, model: str, by: str, environ: dict[str, str]) -> Measured:
    """Runs of one process: few clips, many, many of twice the length, many in several shards; and many by two at once.

    Few are heard once before, unmeasured: a first process reads its code and the weights off the disk. A recording of
    `seconds` costs what was measured; longer ones what those of twice the length say, if that is less for a second
    (windows that are filled), and no recording costs less than none.

    The processor's seconds are those of a machine that is busy anyway (`by="cpu"`): nothing is beside there.
    """

    def taken(plan: Path, name: str) -> float:
        return seconds_of(plan, folder / f"out-{name}", model, by, environ)

    few_clips = planned(folder, source, _FEW, seconds)
    taken(few_clips, "before")
    few = taken(few_clips, "few")
    for count in (_MANY * 4**n for n in range(4)):
        many_clips = planned(folder, source, count, seconds)
        many = taken(many_clips, f"many-{count}")
        if many - few >= _LONG_S or count >= _MOST:
            break
    long_clips = planned(folder, source, count, 2 * seconds)
    short = (many - few) / (count - _FEW)  # of a clip
    per_second = min(max((taken(long_clips, "twice") - many) / count, 0.05 * short), short) / seconds
    each_s = short - per_second * seconds
    clips, several = folder / f"costs-{count}-{seconds}", folder / "costs-several.jsonl"
    share_s = count * seconds / (_SHARDS * 60)
    found = run("archive", "plan", clips, "-o", several, "--shard-minutes", "1", "--speed", str(share_s))
    assert found["code"] == 0
    shard_s = max(0.0, taken(several, "several") - many) / (_SHARDS - 1)
    pair = many
    if by == "wall":
        with ThreadPoolExecutor(2) as pool:
            pair = max(pool.map(partial(taken, many_clips), ("pair-0", "pair-1")))
    command = [sys.executable, "-m", "benchmarks.fleet.stages", str(long_clips), str(folder / "out-stages"), model]
    stages = json.loads(subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE).stdout)
    beside = max(0.0, pair / many - 1)
    costs = Costs(
        max(0.0, few - _FEW * short),
        1 / per_second,
        each_s,
        shard_s,
        0.0,
        stages["store_s"],
        beside,
        LOOK_AHEAD_S * per_second,
    )
    return Measured(costs, by, model, **stages)


def planned(folder: Path, source: Path, count: int, seconds: float) -> Path:
    """The plan of so many clips, in one shard."""
    name = f"costs-{count}-{seconds}"
    cut_clips(source, folder / name, count, seconds)
    plan = folder / f"{name}.jsonl"
    one_shard = ("--shard-minutes", "10", "--speed", str(count * seconds))  # which takes a second, it is told
    assert run("archive", "plan", folder / name, "-o", plan, *one_shard)["code"] == 0
    return plan

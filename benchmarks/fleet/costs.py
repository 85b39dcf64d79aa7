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
from typing import TYPE_CHECKING, Any

from autorag_whisper.transcriber.scheduler import LOOK_AHEAD_S
from benchmarks.archive import COMMAND, cut_clips, run
from benchmarks.fleet.model import Costs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_FEW, _MANY, _SHARDS = 2, 42, 7


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

    A recording of `seconds` costs what was measured; longer ones what those of twice the length say, if that is less
    for a second (windows that are filled), and no recording costs less than none.

    The processor's seconds are those of a machine that is busy anyway (`by="cpu"`): nothing is beside there.
    """
    taken: dict[tuple[int, float], float] = {}
    for count, length in ((_FEW, seconds), (_MANY, seconds), (_MANY, 2 * seconds)):
        name = f"costs-{count}-{length}"
        cut_clips(source, folder / name, count, length)
        plan = folder / f"{name}.jsonl"
        assert run("archive", "plan", folder / name, "-o", plan, "--shard-minutes", "10")["code"] == 0
        taken[count, length] = seconds_of(plan, folder / f"out-{name}", model, by, environ)
    few, many, twice = taken.values()
    short = (many - few) / (_MANY - _FEW)  # of a clip
    per_second = min(max((twice - many) / _MANY, 0.05 * short), short) / seconds
    each_s = short - per_second * seconds
    clips, several = folder / f"costs-{_MANY}-{seconds}", folder / "costs-several.jsonl"
    share_s = _MANY * seconds / (_SHARDS * 60)
    found = run("archive", "plan", clips, "-o", several, "--shard-minutes", "1", "--speed", str(share_s))
    assert found["code"] == 0
    in_shards = seconds_of(several, folder / "out-several", model, by, environ)
    shard_s = max(0.0, in_shards - many) / (_SHARDS - 1)
    pair = many
    if by == "wall":
        plan_of_many = folder / f"costs-{_MANY}-{seconds}.jsonl"
        with ThreadPoolExecutor(2) as pool:
            outs = [folder / f"out-pair-{n}" for n in range(2)]
            pair = max(pool.map(lambda out: seconds_of(plan_of_many, out, model, by, environ), outs))
    command = [sys.executable, "-m", "benchmarks.fleet.stages", str(plan), str(folder / "out-stages"), model]
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

"""How long two processes in turn wait for the card: the real arbiter, real batches of Whisper, a stand-in for an LLM.

`whisper` computes a batch (the encoder over 10 s of sound) in each lease, and keeps memory between them that leaves for
every lease of the LLM's; from a CPU nothing leaves, so that lasts `--offload-ms` (0: it keeps none). `llm` holds the
card for `--llm-ms`. `whisper` asks again as soon as it has let go, as a transcription that has its next batch ready, so
it waits for a whole lease of the other's, one offload, and two hand-overs: to the other and back. So does `llm` with
`--llm-pause-ms 0`. After a pause between two leases, until its next request is there, the card is in the other's hands
by the time it asks, and it waits for one.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.domain.device import CPU, Device, ModelKey
from autorag_whisper.engines import ctranslate2
from autorag_whisper.gpu.arbiter.lease import LeaseRequest, Released, Tenant
from autorag_whisper.gpu.arbiter.processes import ProcessArbiter
from autorag_whisper.loading.load_requests import load_request
from autorag_whisper.loading.model_finder import ModelFinder
from autorag_whisper.models.store import ModelStore, default_cache_dir

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Barrier

    from autorag_whisper.gpu.arbiter.lease import Eviction

LEFT_OUT = 5
"""Turns at the start and at the end that do not count: the other may not be there."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a process plays. `model`: computed with in every lease; without one the card is held for `held_s`.

    `pause_s`: what passes after a lease before it asks for the next.
    """

    tenant: str
    folder: Path
    leases: int
    held_s: float = 0.0
    model: str = ""
    device: Device = CPU
    compute_type: str = "int8"
    offload_s: float = 0.0
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Played:
    """Seconds: of each wait, of each lease, and of each offload that the other had."""

    waits_s: list[float]
    leases_s: list[float]
    offloads_s: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--leases", type=int, default=300)
    parser.add_argument("--llm-ms", type=float, default=20.0)
    parser.add_argument("--llm-pause-ms", type=float, default=0.0)
    parser.add_argument("--offload-ms", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, help="where the arbiter's folder is made; default: a scratch folder")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        whisper = Part(
            "whisper", Path(scratch, "gpu"), given.leases, model=given.model, offload_s=given.offload_ms / 1000
        )
        llm = Part("llm", whisper.folder, given.leases, given.llm_ms / 1000, pause_s=given.llm_pause_ms / 1000)
        played = play(llm, whisper)
    rows = {
        "llm": figures(played["llm"], played["whisper"], played["whisper"].offloads_s),
        "whisper": figures(played["whisper"], played["llm"], played["whisper"].offloads_s),
    }
    print("| ms, median / p99 | wait | the other's lease | offload | p99 over the p99 of both |\n|---|---|---|---|---|")
    for tenant, row in rows.items():
        shown = " | ".join(f"{row[name][0]:.1f} / {row[name][1]:.1f}" for name in ("wait", "lease", "offload"))
        print(f"| {tenant} | {shown} | {row['wait'][1] - row['lease'][1] - row['offload'][1]:+.1f} |")
    if given.json:
        machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores"
        result = {"model": given.model, "machine": machine, "date": time.strftime("%Y-%m-%d"), "ms": rows}
        given.json.write_text(json.dumps(result, indent=1) + "\n")


def figures(tenant: Played, other: Played, offloads_s: list[float]) -> dict[str, tuple[float, float]]:
    """Median and 99th percentile in ms of what a tenant waited for."""
    all_s = {"wait": tenant.waits_s, "lease": other.leases_s, "offload": offloads_s}
    return {
        name: (1000 * float(np.median(found)), 1000 * float(np.percentile(found, 99)))
        for name, found in ((name, found[LEFT_OUT:-LEFT_OUT] or [0.0]) for name, found in all_s.items())
    }


def play(*parts: Part) -> dict[str, Played]:
    """All parts, each in a process of its own, from the moment on when all are ready."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(len(parts), timeout=120)
    with ProcessPoolExecutor(len(parts), mp_context=context, initializer=be_ready_by, initargs=(ready,)) as processes:
        return dict(zip((part.tenant for part in parts), processes.map(play_alone, parts), strict=True))


_barriers: list[Barrier] = []


def be_ready_by(barrier: Barrier) -> None:
    _barriers.append(barrier)


def play_alone(part: Part) -> Played:
    waits_s, leases_s, offloads_s = list[float](), list[float](), list[float]()

    def offload(_wanted: Eviction) -> Released:
        began = time.monotonic()
        time.sleep(part.offload_s)
        offloads_s.append(time.monotonic() - began)
        return Released()

    with ExitStack() as closes:
        compute = partial(time.sleep, part.held_s)
        tenant = Tenant(part.tenant)
        if part.model:
            compute = batches_of(part, closes)
        if part.offload_s:
            tenant = Tenant(part.tenant, offload, lambda: 1 << 20)
        arbiter = closes.enter_context(closing(ProcessArbiter(part.folder)))
        arbiter.register(tenant)
        _barriers[0].wait()
        for _ in range(part.leases):
            time.sleep(part.pause_s)
            asked = time.monotonic()
            with arbiter.lease(part.tenant, LeaseRequest(timeout_s=60)):
                began = time.monotonic()
                compute()
                ended = time.monotonic()
            waits_s.append(began - asked)
            leases_s.append(ended - began)
        _barriers[0].wait()  # the other may still want this one's memory to leave
    return Played(waits_s, leases_s, offloads_s)


def batches_of(part: Part, closes: ExitStack) -> Callable[[], object]:
    cache = default_cache_dir(os.environ)
    finder = ModelFinder(ModelStore(cache_dir=None, offline=False, show_progress=True, environ=os.environ))
    files = finder.find(part.model)
    key = ModelKey(str(files.folder), part.device, part.compute_type)
    recognizer = ctranslate2.load(load_request(files, key, 2, cache))
    closes.callback(recognizer.close)
    features = np.zeros((1, recognizer.spec.n_mels, 1000), np.float32)
    return partial(recognizer.encode, features)


if __name__ == "__main__":
    main()

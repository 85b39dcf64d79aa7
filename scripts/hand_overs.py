#!/usr/bin/env python3
"""A transcription and a stand-in for an LLM on one card, side by side: who has it when, as a plot.

    .venv/bin/python scripts/hand_overs.py samples/demo.flac --copies 6 --plot docs/images/hand_overs.png

The stand-in is a process of its own: it answers a question every other second, under leases of its own, each as long
as a few tokens take. Where there is no card one core stands for it: the same arbiter, the real recogniser. What is
drawn is what `autorag-whisper gpu status` shows, looked at every 2 ms.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.engines.ctranslate2 import probe_hardware
from autorag_whisper.gpu.arbiter.status import gpu_folder, look
from autorag_whisper.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

LLM = """
import sys, time
from pathlib import Path
from autorag_whisper.gpu.arbiter.lease import Tenant, LeaseRequest
from autorag_whisper.gpu.arbiter.processes import ProcessArbiter
arbiter = ProcessArbiter(Path(sys.argv[1]))
arbiter.register(Tenant("llm"))
print("ready", flush=True)
while True:
    for _ in range(8):  # an answer: a lease for each few tokens
        with arbiter.lease("llm", LeaseRequest(timeout_s=60)):
            time.sleep(0.06)
    time.sleep(1.5)
"""
COLOURS = {"whisper": "#0b4f8a", "llm": "#e08e0b"}


@dataclass(slots=True)
class Seen:
    """What was seen over time: (from, to) seconds in which a tenant had the card, and in which it waited."""

    had: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {name: [] for name in COLOURS})
    waited: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {name: [] for name in COLOURS})

    def note(self, name: str, kind: dict[str, list[tuple[float, float]]], number: int, at_s: float) -> None:
        """The lease `number` of a tenant is seen in this state."""
        if self._last.get((id(kind), name)) == number and kind[name]:
            kind[name][-1] = (kind[name][-1][0], at_s)
        else:
            kind[name].append((at_s, at_s))
        self._last[id(kind), name] = number

    _last: dict[tuple[int, str], int] = field(default_factory=dict)


def watch(folder: Path, over: threading.Event) -> Seen:
    """Look at the card until `over`."""
    seen, began = Seen(), time.monotonic()
    while not over.wait(0.002):
        now = time.monotonic()
        status = look(folder, now)
        if status.holder is not None:
            seen.note(status.holder.tenant, seen.had, status.holder.epoch, now - began)
        for one in status.waiting:
            seen.note(one.tenant, seen.waited, one.number, now - began)
    return seen


def transcribe(files: list[Path], environ: Mapping[str, str], model: str) -> float:
    """The audio seconds that were done."""
    share_cpu = not probe_hardware().cuda_devices
    if share_cpu:  # a card has one batch in flight, so has one core
        environ = {**environ, "AUTORAG_WHISPER_THREADS": "1"}
    with build_transcriber(environ=environ, share_cpu=share_cpu) as transcriber:
        transcriber.load(transcriber.model(model))
        outcomes = list(transcriber.transcribe_many(files, TranscribeOptions(language="en"), model=model))
    for outcome in outcomes:
        if outcome.error:
            raise outcome.error
    return sum(outcome.transcript.duration_s for outcome in outcomes if outcome.transcript)


def draw(seen: Seen, path: Path, title: str) -> None:
    import matplotlib as mpl

    mpl.use("Agg")  # no screen is needed
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 2.2), layout="constrained")
    for lane, (name, colour) in enumerate(COLOURS.items()):
        for kind, height, shade in ((seen.waited, 0.22, "#c9ced4"), (seen.had, 0.6, colour)):
            bars = [(start, max(stop - start, 0.004)) for start, stop in kind[name]]
            axes.broken_barh(bars, (lane - height / 2, height), facecolors=shade)
    axes.set_yticks(range(len(COLOURS)), list(COLOURS))
    axes.invert_yaxis()
    axes.set_xlabel("seconds (thick: has the card, thin grey: waits for it)", size=9)
    axes.set_title(title, loc="left", size=10, weight="bold")
    axes.spines[["top", "right", "left"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def say(seen: Seen) -> None:
    for name in COLOURS:
        had = [stop - start for start, stop in seen.had[name]]
        waited = sorted(stop - start for start, stop in seen.waited[name])
        if had and waited:
            leases = f"{len(had)} leases, median {1000 * median(had):.0f} ms, longest {1000 * max(had):.0f} ms"
            print(f"{name}: {leases}; waited median {1000 * median(waited):.0f} ms, longest {1000 * waited[-1]:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path)
    parser.add_argument("--copies", type=int, default=6)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        environ = {**os.environ, "AUTORAG_WHISPER_GPU_DIR": scratch, "AUTORAG_WHISPER_GPU_BUSY": "wait"}
        folder = gpu_folder(Settings.from_env(environ), environ, 0)
        llm = subprocess.Popen([sys.executable, "-c", LLM, str(folder)], stdout=subprocess.PIPE)
        assert llm.stdout is not None
        llm.stdout.readline()
        over, found = threading.Event(), list[Seen]()
        watching = threading.Thread(target=lambda: found.append(watch(folder, over)))
        watching.start()
        try:
            audio_s = transcribe([given.media] * given.copies, environ, given.model)
        finally:
            over.set()
            watching.join()
            llm.kill()
            llm.wait()
    say(found[0])
    if given.plot:
        draw(found[0], given.plot, f"{audio_s:.0f} s of audio with {given.model}, and an LLM that answers meanwhile")


if __name__ == "__main__":
    main()

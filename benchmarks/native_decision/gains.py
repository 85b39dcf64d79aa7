"""What the native engine's speed comes from: one thing after another switched off, over the whole pipeline.

Each row is all of it but for what the row names; CTranslate2 has none of it. In turn, `--rounds` times, each in a
process of its own; loading is left out. What has no switch shows in two differences between stages: attention to the
audio (a step over a window of 30 s, less one over 2 s: 8-bit keys and values), and a step without it (packed weights).
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from benchmarks.native_decision.peers import run

if TYPE_CHECKING:
    from collections.abc import Callable

FORCED = {"avx512_vnni": "without BF16", "avx_vnni": "256 bits wide", "avx2": "without VNNI"}
SWITCHES = {
    "all": "all of it",
    **{name: f"instructions: {name} ({told})" for name, told in FORCED.items()},
    "one-row": "a batch is one chunk",
    "one-window": "a batch has chunks of one window",
    "full-window": "windows are 30 s, padded",
    "aligned": "probabilities of tokens by a pass of their own",
    "ctranslate2": "CTranslate2",
}


def switched_off(name: str) -> ExitStack:
    """Until it is closed, engines are loaded without this."""
    from autorag_whisper.engines import native

    stack = ExitStack()
    describe, load, hypothesis = native._describe, native.load, native._hypothesis  # noqa: SLF001 - to switch them off

    def put(target: str, function: Callable[..., Any]) -> None:
        stack.enter_context(patch.object(native, target, function))

    if name == "one-window":
        put("_describe", lambda *given, **more: replace(describe(*given, **more), mixes_windows=False))
    elif name == "full-window":
        put("load", lambda request, *more: load(replace(request, strict_window=True), *more))
    elif name == "aligned":
        put("_hypothesis", lambda *given: replace(hypothesis(*given), probabilities=None))
    return stack


def measure(recording: str, model: str, name: str) -> dict[str, float]:
    """Processor seconds of one run and what the engine's calls took by the clock; the recording's seconds."""
    from autorag_whisper.bootstrap import build_transcriber
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.settings import Settings
    from benchmarks.compare.engines import count_calls

    calls = count_calls()
    engine = "ctranslate2" if name == "ctranslate2" else "native"
    environ = os.environ | {"AUTORAG_WHISPER_ENGINE": engine, "AUTORAG_WHISPER_DEVICE": "cpu"}
    if name in FORCED:
        environ["AUTORAG_WHISPER_NATIVE_ISA"] = name
    options = TranscribeOptions(batch_size=1) if name == "one-row" else TranscribeOptions()
    with switched_off(name), build_transcriber(Settings.from_env(environ), environ=environ) as transcriber:
        transcriber.transcribe(Path(__file__).resolve().parents[2] / "samples" / "demo.flac", options, model=model)
        before, began = calls(), time.process_time()
        found = transcriber.transcribe(recording, options, model=model)
        spent = time.process_time() - began
    by_call = {call: seconds - before[call] for call, seconds in calls().items()}
    return {"spent_s": spent, "audio_s": found.duration_s, **by_call}


def tell(recording: Path, model: str, rounds: int) -> None:
    """Print the table."""
    found: dict[str, list[dict[str, Any]]] = {}
    for _ in range(rounds):
        for name in SWITCHES:
            one = run([sys.executable, "-m", "benchmarks.native_decision.gains", recording, model, name])
            if one:
                found.setdefault(name, []).append(one)
    print("| switched off | processor s per s of audio | of all of it |\n|---|---:|---:|")
    costs = {n: statistics.median(one["spent_s"] / one["audio_s"] for one in runs) for n, runs in found.items()}
    for name, cost in costs.items():
        print(f"| {SWITCHES[name]} | {cost:.4f} | {cost / costs.get('all', cost):.2f} |")


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:4])))

#!/usr/bin/env python3
"""What no test here could prove, on a machine that has a card: runs the list of docs/gpu_sharing.md, prints a table.

    .venv/bin/pip install -e ".[cuda]"
    .venv/bin/python scripts/gpu_check.py [--model large-v3-turbo] [--device cuda:0] [--json F]
    .venv/bin/python scripts/gpu_check.py --model tiny.en --device cpu      # the script itself, where there is no card

Give it a card that nobody else uses: it reads what the driver says is free. `AUTORAG_WHISPER_LLM` names a server that
shares the card, if that is to be looked at too. Exit code 0: all that ran is well; 1: something is not; 2: no card.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from benchmarks.lease_wait import Part, figures, play
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.device import Device, DeviceKind, LoadReason, ModelKey, OnYield
from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.engines import ctranslate2, ctranslate2_wav2vec2
from autorag_whisper.gpu.arbiter.lease import LeaseRequest, Tenant
from autorag_whisper.gpu.arbiter.processes import ProcessArbiter
from autorag_whisper.gpu.card_memory import CardReader
from autorag_whisper.gpu.llm.release import LlmTenant
from autorag_whisper.gpu.llm.spec import llm_server
from autorag_whisper.loading.load_requests import load_request
from autorag_whisper.loading.model_finder import ModelFinder
from autorag_whisper.models.store import ModelStore, default_cache_dir
from autorag_whisper.residency.recognition_models import RecognitionModels
from autorag_whisper.settings import Settings
from autorag_whisper.telemetry import CT2_TRANSCRIBE, LOAD_MODEL
from autorag_whisper.worker.client import WorkerTranscriber
from autorag_whisper.worker.supervision import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.engines.base import WhisperModel

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "samples" / "demo.flac"
CTC_MODEL = ROOT / "tests" / "data" / "ctc-tiny-en"
ENGLISH = TranscribeOptions(language="en")
LEASES = 200
HAND_OVER_MS = 4
"""What two hand-overs may take beside the lease that is waited for."""


class SkippedError(Exception):
    """This check cannot be made here: why."""


class MissedError(Exception):
    """It is not as it should be: what was found."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    check: str
    goal: str
    verdict: str
    found: str


class Machine:
    """The device under test, and what the checks share."""

    def __init__(self, device: Device, model: str, compute_type: str) -> None:
        self.device, self.model, self.compute_type = device, model, compute_type
        self.cards = CardReader(os.environ)
        self.cache = default_cache_dir(os.environ)
        self.finder = ModelFinder(ModelStore(cache_dir=None, offline=False, show_progress=True, environ=os.environ))
        self.spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.transcriber = build_transcriber(tracer_provider=provider)
        self.handle = self.transcriber.model(model, str(device))

    def free(self) -> int:
        """Bytes free on the card."""
        found = self.cards.free_bytes(self.device.index) if self.device.is_cuda else None
        if found is None:
            raise SkippedError("nothing tells the memory of this device (NVML: extra [cuda])")
        return found

    def need_card(self) -> None:
        if not self.device.is_cuda:
            raise SkippedError("needs a card")

    def key(self) -> ModelKey:
        return ModelKey(str(self.finder.find(self.model).folder), self.device, self.compute_type)

    def load(self, key: ModelKey, _reason: LoadReason = LoadReason.FIRST) -> WhisperModel:
        return ctranslate2.load(load_request(self.finder.find(self.model), key, 2, self.cache))

    def job(self, handle: str = "") -> tuple[float, str, float]:
        """The sample, once: (wall seconds, text, seconds in the engine)."""
        model = self.handle if not handle else self.transcriber.model(self.model, handle)
        began = time.perf_counter()
        transcript = self.transcriber.transcribe(SAMPLE, ENGLISH, model=model)
        if not handle and transcript.device != str(self.device):
            raise MissedError(f"ran on {transcript.device}: {transcript.device_fallbacks}")
        return time.perf_counter() - began, transcript.text, transcript.engine_s


def finds_the_device(machine: Machine) -> str:
    hardware = ctranslate2.probe_hardware()
    if not machine.device.is_cuda:
        return f"CPU; {hardware.problem or 'and a card beside it'}"
    if not hardware.cuda_devices:
        raise MissedError(hardware.problem)
    return f"{hardware.cuda_devices} card(s), {machine.free() / 2**30:.1f} GiB free"


def first_job(machine: Machine) -> str:
    wall_s, text, _ = machine.job()
    if not text:
        raise MissedError("no words")
    return f"{wall_s:.1f} s, {len(text.split())} words"


def same_words_as_the_cpu(machine: Machine) -> str:
    machine.need_card()
    _, on_card, _ = machine.job()
    _, on_cpu, _ = machine.job("cpu")
    if on_card.casefold() != on_cpu.casefold():
        raise MissedError(f"card: {on_card!r}, CPU: {on_cpu!r}")
    return f"{len(on_card.split())} words, the same"


def second_job_loads_nothing(machine: Machine) -> str:
    machine.job()
    machine.spans.clear()
    machine.job()
    names = [span.name for span in machine.spans.get_finished_spans()]
    if LOAD_MODEL in names or CT2_TRANSCRIBE not in names:
        raise MissedError(f"spans: {', '.join(names)}")
    return "spans: " + ", ".join(dict.fromkeys(names))


def overhead_of_a_warm_job(machine: Machine) -> str:
    machine.need_card()  # of several workers a short clip keeps one busy
    shares = []
    for _ in range(15):
        wall_s, _, engine_s = machine.job()
        shares.append(wall_s / engine_s - 1)
    share = float(np.median(shares))
    if share > 0.05:
        raise MissedError(f"+{share:.1%}")
    return f"+{share:.1%}"


def offload_frees_and_restore_is_quick(machine: Machine) -> str:
    machine.need_card()
    residency = RecognitionModels(machine.load)
    key = machine.key()
    with residency.lease(key) as recognizer:
        features = np.zeros((1, recognizer.spec.n_mels, 3000), np.float32)
    loaded = machine.free()
    if residency.yield_device(machine.device, OnYield.OFFLOAD).went != 1:
        raise MissedError("it did not leave")
    freed = machine.free() - loaded
    began = time.perf_counter()
    with residency.lease(key) as recognizer:
        recognizer.encode(features)
    back_s = time.perf_counter() - began
    took = machine.free()
    residency.close()
    left = machine.free() - took
    found = (
        f"offload freed {freed / 2**20:.0f} MiB, back to the first batch {back_s:.2f} s, unload {left / 2**20:.0f} MiB"
    )
    if freed <= 0 or left <= 0 or back_s > 1.0:
        raise MissedError(found)
    return found


def aligner_leaves_and_comes_back(machine: Machine) -> str:
    machine.need_card()
    emitter = ctranslate2_wav2vec2.load(CTC_MODEL, "ctc-tiny-en", machine.device, cache_dir=machine.cache)
    sound = [np.random.default_rng(1).normal(0, 0.1, 32_000).astype(np.float32)]
    before = emitter.emit(sound)[0].log_probs
    if not emitter.offload() or not emitter.restore():
        raise MissedError("it did not move")
    after = emitter.emit(sound)[0].log_probs
    emitter.close()
    difference = float(np.abs(np.asarray(before) - np.asarray(after)).max())
    if difference > 1e-3:
        raise MissedError(f"emissions differ by {difference:.4f}")
    return f"emissions differ by {difference:.1e}"


def memory_runs_out_and_the_job_ends(machine: Machine) -> str:
    """Fill the card but for 200 MB, then ask for batches of 64."""
    machine.need_card()
    import ctranslate2 as engine

    hog = []
    while machine.free() > (200 << 20) + (256 << 20):
        block = engine.StorageView.from_array(np.zeros(64 << 20, np.float32))
        hog.append(block.to_device(engine.Device.cuda))
    options = TranscribeOptions(language="en", batch_size=64)
    outcomes = list(machine.transcriber.transcribe_many([SAMPLE] * 64, options, model=machine.handle))
    del hog
    lost = [outcome for outcome in outcomes if outcome.transcript is None]
    steps = sorted({step.step for o in outcomes if o.transcript for step in o.transcript.device_fallbacks})
    if lost or len({o.transcript.text for o in outcomes if o.transcript}) > 2:
        raise MissedError(f"{len(lost)} jobs failed, steps {steps}")
    return f"64 jobs, steps: {', '.join(steps) or 'none were needed'}"


def nobody_waits_longer_than_a_batch(machine: Machine) -> str:
    """Batches of the engine, and leases of 20 ms of another process that pauses for 3 ms between them."""
    with tempfile.TemporaryDirectory() as scratch:
        other = Part("llm", Path(scratch, "gpu"), LEASES, held_s=0.02, pause_s=0.003)
        ours = replace(
            other,
            tenant="whisper",
            model=machine.model,
            device=machine.device,
            compute_type=machine.compute_type,
            pause_s=0.0,
        )
        played = play(ours, other)
    # Ours asks again at once, so it waits for two hand-overs besides; the other's first is over by the time it asks.
    rows = {
        "the LLM": (figures(played["llm"], played["whisper"], []), 0.0),
        "Whisper": (figures(played["whisper"], played["llm"], []), HAND_OVER_MS),
    }
    said = ", ".join(
        f"{name} {row['wait'][0]:.1f} / {row['wait'][1]:.1f} for leases of {row['lease'][1]:.1f}"
        for name, (row, _) in rows.items()
    )
    missed = [name for name, (row, over_ms) in rows.items() if row["wait"][1] > row["lease"][1] + over_ms]
    if machine.device.is_cuda and missed:
        raise MissedError(f"{' and '.join(missed)} waited too long; {said}")
    return f"{LEASES} leases each, ms, median / p99: {said}"


def an_ended_worker_holds_nothing(machine: Machine) -> str:
    before = machine.free() if machine.device.is_cuda else 0
    with WorkerTranscriber(limits=Limits(idle_s=0.5)) as worker:
        worker.transcribe(SAMPLE, ENGLISH, model=worker.model(machine.model, str(machine.device)))
        during = machine.free() if machine.device.is_cuda else 0
        deadline = time.monotonic() + 30
        while worker.process_id is not None and time.monotonic() < deadline:
            time.sleep(0.1)
        if worker.process_id is not None:
            raise MissedError("it did not end")
        held = before - machine.free() if machine.device.is_cuda else 0
    if held > 16 << 20:
        raise MissedError(f"{held / 2**20:.0f} MiB are still held")
    return f"with it {(before - during) / 2**20:.0f} MiB, after its end {held / 2**20:.0f} MiB"


def the_llm_leaves_and_comes_back(machine: Machine) -> str:
    machine.need_card()
    spec = os.environ.get("AUTORAG_WHISPER_LLM", "")
    if not spec:
        raise SkippedError("AUTORAG_WHISPER_LLM names none")
    tenant = LlmTenant(llm_server(spec), partial(machine.cards.free_bytes, machine.device.index))
    read_free = partial(machine.cards.free_bytes, machine.device.index)
    with (
        tempfile.TemporaryDirectory() as scratch,
        closing(ProcessArbiter(Path(scratch), read_free=read_free)) as arbiter,
    ):
        arbiter.register(tenant.tenant())
        arbiter.register(Tenant("whisper"))
        with tenant.lease(arbiter, LeaseRequest(timeout_s=120)):
            awake = machine.free()
        with arbiter.lease("whisper", LeaseRequest(timeout_s=120)):
            freed = machine.free() - awake
    if freed <= 0:
        raise MissedError(f"freed {freed / 2**20:.0f} MiB")
    return f"freed {freed / 2**20:.0f} MiB"


def whisperx_as_the_engine(machine: Machine) -> str:
    if find_spec("whisperx") is None:
        raise SkippedError("it is not installed (extra [whisperx])")
    settings = replace(Settings.from_env(os.environ), engine="whisperx", align_models={"en": str(CTC_MODEL)})
    with build_transcriber(settings) as transcriber:
        handle = transcriber.model(machine.model, str(machine.device))
        transcript = transcriber.transcribe(SAMPLE, ENGLISH, model=handle)
    if transcript.device != str(machine.device) or not transcript.words:
        raise MissedError(f"{len(transcript.words)} words on {transcript.device}: {transcript.device_fallbacks}")
    ways = sorted({word.source.value for word in transcript.words})
    return f"{len(transcript.words)} words, timed by {', '.join(ways)}"


CHECKS: dict[str, tuple[Callable[[Machine], str], str]] = {
    "the device is found": (finds_the_device, ""),
    "a first job": (first_job, "runs on the device, no fallback"),
    "words on the card and on the CPU": (same_words_as_the_cpu, "the same"),
    "spans of a second job": (second_job_loads_nothing, "no load_model"),
    "a warm job over the engine's own time": (overhead_of_a_warm_job, "+5 %"),
    "offload, restore, unload": (offload_frees_and_restore_is_quick, "memory is freed; back in 1 s"),
    "a wav2vec2 model leaves and comes back": (aligner_leaves_and_comes_back, "the same emissions"),
    "two tenants in turn": (
        nobody_waits_longer_than_a_batch,
        f"p99: the LLM one batch, Whisper one lease and {HAND_OVER_MS} ms",
    ),
    "memory runs out": (memory_runs_out_and_the_job_ends, "every job ends"),
    "a worker process that has ended": (an_ended_worker_holds_nothing, "holds nothing"),
    "whisperX as the engine": (whisperx_as_the_engine, "runs on the device, no fallback"),
    "an LLM server": (the_llm_leaves_and_comes_back, "its memory is freed"),
}


def run(machine: Machine, but: list[str]) -> list[Row]:
    """Every check, whatever becomes of the others, without those that begin like one of `but`."""
    rows = []
    for name, (check, goal) in CHECKS.items():
        if any(name.startswith(start) for start in but):
            continue
        try:
            row = Row(name, goal, "ok", check(machine))
        except SkippedError as reason:
            row = Row(name, goal, "not run", str(reason))
        except (MissedError, AutoragWhisperError, RuntimeError, AssertionError, OSError) as error:
            row = Row(name, goal, "MISSED", f"{type(error).__name__}: {error}".removeprefix("MissedError: "))
        print(f"| {row.check} | {row.goal} | {row.verdict} | {row.found} |", flush=True)
        rows.append(row)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="large-v3-turbo")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--but", action="append", default=[], metavar="CHECK", help="not this one (its first words)")
    given = parser.parse_args()
    kind, _, index = given.device.partition(":")
    device = Device(DeviceKind(kind), int(index or 0))
    if device.is_cuda and not ctranslate2.probe_hardware().cuda_devices:
        print(f"no card here: {ctranslate2.probe_hardware().problem}", file=sys.stderr)
        return 2
    print("| check | goal | verdict | found |\n|---|---|---|---|")
    rows = run(Machine(device, given.model, "float16" if device.is_cuda else "int8"), given.but)
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 1 if any(row.verdict == "MISSED" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

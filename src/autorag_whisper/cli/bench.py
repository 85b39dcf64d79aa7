"""`autorag-whisper bench`: how fast the user's own files go on the user's own machine."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autorag_whisper.cli import verbose_option
from autorag_whisper.cli.recognition_options import device_of, options_of, recognition_options, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autorag_whisper.archive.inputs import Input
    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.cli.progress import Reporter, Tally
    from autorag_whisper.cli.summary import Summary
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.settings import Settings
    from autorag_whisper.transcriber import FileOutcome, LoadedModel, Transcriber

_OPTIONS = (
    "model", "language", "task", "quality", "beam_size", "device", "engine", "compute_type", "threads", "batch_size",
)  # fmt: skip
"""Those of `transcribe` that decide how fast it is."""
_EPILOG = """\b
FILE is what it is for `transcribe`; nothing is written. The model is loaded and the first file is begun once before
the clock runs, so that load and first segment are told apart from speed.

\b
  first segment  from the request until the first words of the first file, the model loaded
  engine         share of the workers' time that is spent recognising and aligning; the rest is decoding and waiting
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one run, None where there is none. `engine_share`: 0 to 1, of workers x wall time."""

    files: int
    failed: int
    audio_s: float
    wall_s: float
    x_real_time: float
    cpu_s_per_audio_s: float | None
    peak_memory_mb: float | None
    load_s: float
    first_segment_s: float | None
    engine_share: float | None
    model: str
    device: str
    compute_type: str
    workers: int


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("arguments", metavar="FILE...", nargs=-1, required=True)
@recognition_options(*_OPTIONS)
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
@verbose_option
@click.pass_obj
def bench(context: CommandContext | None, /, **given: Any) -> int:
    """Measure speed, processor time and memory on your own media FILEs."""
    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.cli.summary import Summary

    summary = Summary()
    measured = _measure(given, context or CommandContext(), summary)
    click.echo(json.dumps(asdict(measured), indent=2) if given["as_json"] else _as_text(measured))
    return summary.close()


def _measure(given: dict[str, Any], context: CommandContext, summary: Summary) -> Measured:
    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.cli.progress import Tally, can_draw, reporter

    settings, options = settings_of(given, context.environ), options_of(given)
    inputs = _inputs(given["arguments"], summary)
    work = {MediaSource.from_path(item.path): item for item in inputs if item.path}
    with ExitStack() as stack:
        began_s = context.clock()
        transcriber = stack.enter_context(context.build(settings, context.environ))
        model = transcriber.model(given["model"], device_of(given["device"]))
        transcriber.load(model)
        load_s = context.clock() - began_s
        first_s = _first_segment_s(transcriber, next(iter(work)), options, model, context.clock)
        tally = Tally(len(work), context.clock())
        report = stack.enter_context(reporter(tally, context.clock, bar=can_draw(context.environ)))
        cpu_s = time.process_time()
        outcomes = transcriber.transcribe_many(list(work), options, model=model, on_progress=report.advance)
        engine_s = sum(_settle(outcome, work[outcome.source], report, summary) for outcome in outcomes)
        return _figures(
            _Run(tally, context.clock(), time.process_time() - cpu_s, engine_s, load_s, first_s),
            summary,
            settings,
            model,
        )


@dataclass(frozen=True, slots=True)
class _Run:
    """What was noted while the files went through."""

    tally: Tally
    ended_s: float
    cpu_s: float
    engine_s: float
    load_s: float
    first_segment_s: float | None


def _inputs(arguments: Sequence[str], summary: Summary) -> tuple[Input, ...]:
    """The files, found as `transcribe` finds them, but never standard input: that cannot be read twice."""
    from autorag_whisper.archive.inputs import STANDARD_INPUT, find
    from autorag_whisper.cli.exits import BadUsage
    from autorag_whisper.cli.progress import say

    if STANDARD_INPUT in arguments:
        raise BadUsage("standard input cannot be measured", "name files or folders")
    found = find(arguments)
    found.refuse_if_empty("measure")
    for note in found.notes:
        say(note)
    summary.problems.extend(found.problems)
    return found.inputs


def _first_segment_s(
    transcriber: Transcriber,
    source: MediaSource,
    options: TranscribeOptions,
    model: LoadedModel,
    clock: Callable[[], float],
) -> float | None:
    """Seconds until the first segment, None if there is none. This run also makes what is made at the first use."""
    from autorag_whisper.domain.errors import AutoragWhisperError

    began_s = clock()
    try:
        with transcriber.stream(source, options, model=model) as stream:
            return clock() - began_s if next(stream, None) else None
    except AutoragWhisperError:  # the run that is measured will say it
        return None


def _settle(outcome: FileOutcome, item: Input, report: Reporter, summary: Summary) -> float:
    """Record one outcome; the seconds that it was in the engine."""
    from autorag_whisper.cli.progress import clock_time
    from autorag_whisper.cli.summary import reason_of

    if outcome.transcript is None:
        summary.fail(item.shown, reason_of(outcome.error))
        report.complete(outcome.source, None, f"{item.shown}: failed")
        return 0.0
    transcript = outcome.transcript
    summary.done += 1
    report.complete(outcome.source, transcript.duration_s, f"{item.shown} ({clock_time(transcript.duration_s)})")
    return transcript.engine_s


def _figures(run: _Run, summary: Summary, settings: Settings, model: LoadedModel) -> Measured:
    from autorag_whisper.domain.device import CPU, effective_compute_type, parse_device

    audio_s, wall_s = run.tally.finished_s, run.ended_s - run.tally.started_s
    workers = _workers(settings, model)
    return Measured(
        files=summary.done,
        failed=len(summary.problems),
        audio_s=round(audio_s, 2),
        wall_s=round(wall_s, 3),
        x_real_time=round(run.tally.speed(run.ended_s), 2),
        cpu_s_per_audio_s=round(run.cpu_s / audio_s, 4) if audio_s else None,
        peak_memory_mb=_peak_memory_mb(),
        load_s=round(run.load_s, 3),
        first_segment_s=None if run.first_segment_s is None else round(run.first_segment_s, 3),
        engine_share=round(run.engine_s / (wall_s * workers), 3) if wall_s > 0 and run.engine_s else None,
        model=model.size,
        device=model.device,
        compute_type=effective_compute_type(parse_device(model.device) or CPU, model.compute_type),
        workers=workers,
    )


def _workers(settings: Settings, model: LoadedModel) -> int:
    """How many threads are in the engine at a time: on a card one, on a CPU `threads`, or one for each core."""
    from autorag_whisper.engines.native_threads import usable_cores

    if model.device != "cpu":
        return 1
    return settings.threads or usable_cores()


def _peak_memory_mb() -> float | None:
    """The most memory in MiB that this process has held; None where the system does not tell.

    On Linux not `ru_maxrss`, which counts what the process held before it became this program, too.
    """
    status = Path("/proc/self/status")
    if status.exists():
        peaks = [line for line in status.read_text("utf-8").splitlines() if line.startswith("VmHWM:")]
        return round(int(peaks[0].split()[1]) / 1024, 1) if peaks else None
    if sys.platform == "win32":
        return None
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20), 1)  # macOS counts bytes


def _as_text(measured: Measured) -> str:
    from autorag_whisper.cli.progress import clock_time, speed_text

    m = measured
    rows = {
        "files": f"{m.files}" + (f" ({m.failed} failed)" if m.failed else ""),
        "model": f"{m.model}, {m.compute_type} on {m.device}, {m.workers} workers",
        "audio": clock_time(m.audio_s),
        "wall": f"{m.wall_s:.2f} s",
        "speed": speed_text(m.x_real_time),
        "processor": _unless_none(m.cpu_s_per_audio_s, "{:.3f} s for each second of audio"),
        "peak memory": _unless_none(m.peak_memory_mb, "{:.0f} MB"),
        "load": f"{m.load_s:.2f} s",
        "first segment": _unless_none(m.first_segment_s, "{:.2f} s"),
        "engine": _unless_none(m.engine_share, "{:.0%} of the workers' time"),
    }
    return "\n".join(f"{name:<13}  {value}" for name, value in rows.items())


def _unless_none(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)

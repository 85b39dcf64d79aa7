"""The engines: each a function that loads one and gives back how to run it over files."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.compare.job import PEER_BATCH_SIZE, Heard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.compare.job import Job

COMPUTE_TYPE = "int8"


@dataclass(frozen=True, slots=True)
class Loaded:
    """An engine in memory. `workers`: how many of its threads are in the engine at a time."""

    run: Callable[[Sequence[str]], Iterator[Heard]]
    workers: int
    packages: tuple[str, ...]


def load(job: Job) -> Loaded:
    """Load the job's engine."""
    return {"ours": _ours, "fw-sequential": _faster_whisper, "fw-batched": _faster_whisper, "whisperx": _whisperx}[
        job.engine.name
    ](job)


def count_calls() -> Callable[[], dict[str, float]]:
    """From now on every Whisper model of CTranslate2, and ours on the native engine, is timed; the function gives the
    seconds inside it by call so far.

    The same for all engines, so their own book-keeping does not matter. To be called before one is loaded.
    """
    import ctranslate2

    names = ("encode", "generate", "align", "detect_language")
    total, lock = dict.fromkeys(names, 0.0), threading.Lock()

    def timed(name: str, owner: Any, called: str) -> Callable[..., Any]:
        method = getattr(owner, called)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(self, *args, **kwargs)
            finally:
                with lock:
                    total[name] += time.perf_counter() - began

        return call

    theirs = ctranslate2.models.Whisper
    ctranslate2.models.Whisper = type("Whisper", (theirs,), {name: timed(name, theirs, name) for name in names})
    with suppress(ModuleNotFoundError):  # peers run in environments of their own
        from autorag_whisper.engines.native_model import NativeModel

        for name, called in (*zip(names[:3], names[:3], strict=True), (names[3], "first_token_probabilities")):
            setattr(NativeModel, called, timed(name, NativeModel, called))
        NativeModel.audio = timed("generate", NativeModel, "audio")  # type: ignore[method-assign]  # keys and values
    return total.copy


def _ours(job: Job) -> Loaded:
    from autorag_whisper.allocator import tune_allocator
    from autorag_whisper.bootstrap import build_transcriber
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.settings import Settings

    tune_allocator()  # as the command does
    values = job.engine.values()
    environ = os.environ | {
        "AUTORAG_WHISPER_ENGINE": values.pop("engine", "auto"),
        "AUTORAG_WHISPER_THREADS": str(job.threads),
        "AUTORAG_WHISPER_COMPUTE_TYPE": COMPUTE_TYPE,
        "AUTORAG_WHISPER_DEVICE": "cpu",
    }
    transcriber = build_transcriber(Settings.from_env(environ), environ=environ)
    options = TranscribeOptions(**values)
    transcriber.load(transcriber.model(job.model))

    def run(files: Sequence[str]) -> Iterator[Heard]:
        for outcome in transcriber.transcribe_many(files, options, model=job.model):
            path, t = str(outcome.source.path), outcome.transcript
            if t is None:
                yield Heard(path, error=str(outcome.error))
                continue
            words = tuple({"w": w.text, "s": w.start_s, "e": w.end_s, "p": w.probability} for w in t.words)
            holes = tuple((hole.start_s, hole.end_s) for hole in t.coverage.holes)
            rejected = tuple((r.start_s, r.end_s, r.text, r.reason) for r in t.rejected)
            yield Heard(path, t.language, t.text, words, t.duration_s, t.engine_s, holes=holes, rejected=rejected)

    return Loaded(run, job.threads, ("ctranslate2",))


def _faster_whisper(job: Job) -> Loaded:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(job.folder, device="cpu", compute_type=COMPUTE_TYPE, cpu_threads=job.threads)
    options = {"word_timestamps": True} | job.engine.values()
    transcribe = model.transcribe
    if job.engine.name == "fw-batched":
        transcribe = BatchedInferencePipeline(model).transcribe
        options = {"batch_size": PEER_BATCH_SIZE} | options

    def hear(path: str) -> Heard:
        found, info = transcribe(path, **options)
        segments = list(found)
        words = tuple(
            {"w": w.word.strip(), "s": float(w.start), "e": float(w.end), "p": float(w.probability)}
            for segment in segments
            for w in segment.words or ()
        )
        text = "".join(segment.text if segment.text[:1] == " " else f" {segment.text}" for segment in segments)
        return Heard(path, info.language, text.strip(), words, info.duration)

    return Loaded(lambda files: map(_careful(hear), files), 1, ("faster-whisper", "ctranslate2"))


def _whisperx(job: Job) -> Loaded:
    """Without its aligner, whose weights it would have to download, so no word has a time."""
    import torch
    import whisperx
    from faster_whisper.audio import decode_audio

    torch.set_num_threads(job.threads)  # as its own command does
    language = "en" if job.model.endswith(".en") else None
    options = {"batch_size": PEER_BATCH_SIZE} | job.engine.values()
    model = whisperx.load_model(
        job.folder, "cpu", compute_type=COMPUTE_TYPE, language=language, threads=job.threads, vad_method="pyannote"
    )

    def hear(path: str) -> Heard:
        audio = decode_audio(path)  # its own reader needs the program ffmpeg
        result = model.transcribe(audio, **options)
        text = " ".join(segment["text"].strip() for segment in result["segments"])
        return Heard(path, result["language"], text, (), len(audio) / 16_000)

    return Loaded(lambda files: map(_careful(hear), files), 1, ("whisperx", "faster-whisper", "ctranslate2", "torch"))


def _careful(hear: Callable[[str], Heard]) -> Callable[[str], Heard]:
    """A file at which a peer fails is lost, not the run."""

    def careful(path: str) -> Heard:
        try:
            return hear(path)
        except Exception as error:  # noqa: BLE001 - what a peer raises is not documented
            print(f"{path}: {type(error).__name__}: {error}", file=sys.stderr)
            return Heard(path, error=f"{type(error).__name__}: {error}"[:200])

    return careful

"""Speed, CPU time and peak memory of one engine over files, and its words for scoring. One process, one engine."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE = Path(__file__).resolve().parents[1] / "samples" / "demo.flac"
Words = list[dict[str, Any]]
Hypotheses = dict[str, dict[str, Any]]


def main() -> None:
    arguments = parse()
    files = list(find_files(arguments.inputs, arguments.match))
    prepare = {"ours": prepare_ours, "fw-batched": prepare_faster_whisper, "fw-sequential": prepare_faster_whisper}
    run = prepare[arguments.engine](arguments)
    next(iter(run([SAMPLE])), None)  # warm up: what is loaded once is not what is measured
    wall, cpu = time.perf_counter(), time.process_time()
    hypotheses, audio_s, engine_s = {}, 0.0, 0.0
    for path, duration_s, language, words, in_engine_s in run(files):
        hypotheses[path.name] = {"words": words, "language": language}
        audio_s += duration_s
        engine_s += in_engine_s
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    result = {
        "engine": arguments.engine,
        "model": arguments.model,
        "files": len(hypotheses),
        "audio_s": round(audio_s, 1),
        "wall_s": round(wall, 2),
        "x_real_time": round(audio_s / wall, 2),
        "cpu_s_per_audio_s": round(cpu / audio_s, 4),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "wall_x_workers_over_engine": round(wall * arguments.threads / engine_s, 3) if engine_s else None,
        "threads": arguments.threads,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "when": time.strftime("%Y-%m-%d"),
    }
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    if arguments.hypotheses:
        arguments.hypotheses.write_text(json.dumps(hypotheses, ensure_ascii=False))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=["ours", "fw-batched", "fw-sequential"])
    parser.add_argument("inputs", nargs="+", type=Path, help="folders with a manifest.jsonl, or files")
    parser.add_argument("--model", default="base")
    parser.add_argument("--match", default="", help="only files whose name holds this; -TEXT: does not hold it")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--beam-size", type=int, default=5)
    parser.add_argument("--batch-size", type=int, help="default: ours, or 8 for faster-whisper")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--hypotheses", type=Path)
    return parser.parse_args()


def find_files(inputs: list[Path], match: str) -> Iterator[Path]:
    for place in inputs:
        names = [place] if place.is_file() else (place / json.loads(line)["path"] for line in _lines(place))
        for path in names:
            wanted = match[1:] not in path.name if match.startswith("-") else match in path.name
            if wanted:
                yield path


def _lines(folder: Path) -> list[str]:
    return [line for line in (folder / "manifest.jsonl").read_text().splitlines() if line.strip()]


def prepare_ours(arguments: argparse.Namespace) -> Any:
    from autorag_whisper.bootstrap import build_transcriber
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.runtime.memory import tune_allocator
    from autorag_whisper.settings import Settings

    tune_allocator()
    settings = Settings.from_env(os.environ | {"AUTORAG_WHISPER_THREADS": str(arguments.threads)})
    transcriber = build_transcriber(settings)
    options = TranscribeOptions(beam_size=arguments.beam_size, batch_size=arguments.batch_size)

    def run(files: list[Path]) -> Iterator[tuple[Path, float, str, Words, float]]:
        for outcome in transcriber.transcribe_many(files, options, model=arguments.model):
            if outcome.transcript is None:
                print(f"{outcome.source.name}: {outcome.error}", file=sys.stderr)
                continue
            t = outcome.transcript
            words = [{"w": w.text, "s": w.start_s, "e": w.end_s, "p": w.probability} for w in t.words]
            yield outcome.source.path, t.duration_s, t.language, words, t.engine_s

    return run


def prepare_faster_whisper(arguments: argparse.Namespace) -> Any:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    from autorag_whisper.models.store import ModelStore
    from autorag_whisper.settings import Settings

    settings = Settings.from_env(os.environ)
    folder = ModelStore(cache_dir=settings.cache_dir, offline=True, environ=os.environ).resolve(arguments.model).folder
    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=arguments.threads)
    batched = BatchedInferencePipeline(model)

    def run(files: list[Path]) -> Iterator[tuple[Path, float, str, Words, float]]:
        for path in files:
            common = {"beam_size": arguments.beam_size, "word_timestamps": True}
            if arguments.engine == "fw-batched":
                segments, info = batched.transcribe(str(path), batch_size=arguments.batch_size or 8, **common)
            else:
                segments, info = model.transcribe(str(path), **common)
            words = [
                {"w": w.word.strip(), "s": w.start, "e": w.end, "p": w.probability}
                for segment in segments
                for w in segment.words or ()
            ]
            yield path, info.duration, info.language, words, 0.0

    return run


if __name__ == "__main__":
    main()

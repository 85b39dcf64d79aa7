"""One engine over files, in this process: its figures, and its words for scoring. `compare` runs many of these."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.compare.engines import load
from benchmarks.compare.job import ENGINES, EngineChoice, Job
from benchmarks.compare.launch import WARM_UP, model_folder
from benchmarks.compare.worker import measure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.compare.job import Heard, Run


def main() -> None:
    arguments = parse()
    files = tuple(str(path) for path in find_files(arguments.inputs, arguments.match))
    given = {"beam_size": arguments.beam_size, "batch_size": arguments.batch_size}
    choice = EngineChoice.parse(arguments.engine)
    choice = EngineChoice(choice.name, choice.options + tuple((k, str(v)) for k, v in given.items() if v is not None))
    folder = model_folder(arguments.model)
    job = Job(choice, arguments.model, str(folder), arguments.threads, files, str(WARM_UP))
    if arguments.each:
        hear_each(job, arguments.each)
        if arguments.hypotheses:
            write_hypotheses(arguments.hypotheses, map(json.loads, arguments.each.read_text().splitlines()))
        return
    run = measure(job)
    result = figures(job, run)
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    if arguments.hypotheses:
        write_hypotheses(arguments.hypotheses, [row_of(heard) for heard in run.heard])


def row_of(heard: Heard) -> dict[str, Any]:
    """What is kept of a file: `holes` are the spans that the engine itself lists as speech without words."""
    return {"path": Path(heard.path).name, "text": heard.text, "language": heard.language, "error": heard.error,
            "words": heard.words, "holes": heard.holes, "rejected": heard.rejected}  # fmt: skip


def write_hypotheses(place: Path, rows: Iterable[dict[str, Any]]) -> None:
    place.write_text(json.dumps({row["path"]: row for row in rows}, ensure_ascii=False))


def hear_each(job: Job, lines: Path) -> None:
    """Append a line of JSON to `lines` for every file that has none there yet, as each is finished."""
    rows = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
    done = {row["path"] for row in rows}
    files = [path for path in job.files if Path(path).name not in done]
    print(f"{len(done)} finished before, {len(files)} to hear", flush=True)
    if not files:
        return
    with lines.open("a", encoding="utf-8") as file:
        for heard in load(job).run(files):
            print(json.dumps(row_of(heard), ensure_ascii=False), file=file, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", help=f"{', '.join(ENGINES)}, with :NAME=VALUE+NAME=VALUE for its own options")
    parser.add_argument("inputs", nargs="+", type=Path, help="folders with a manifest.jsonl, or files")
    parser.add_argument("--model", default="base")
    parser.add_argument("--match", default="", help="only files whose name holds this; -TEXT: does not hold it")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--beam-size", type=int)
    parser.add_argument("--batch-size", type=int, help="default: ours, or 8 for the peers")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--hypotheses", type=Path)
    parser.add_argument("--each", type=Path, help="no figures: a line of JSON for each file as it is finished; "
                        "run again, only files without a line are heard")  # fmt: skip
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


def figures(job: Job, run: Run) -> dict[str, Any]:
    good = [heard for heard in run.heard if not heard.error]
    audio_s, engine_s = sum(heard.duration_s for heard in good), sum(heard.engine_s for heard in good)
    return {
        "engine": job.engine.label,
        "model": job.model,
        "files": len(good),
        "failed": len(run.heard) - len(good),
        "audio_s": round(audio_s, 1),
        "load_s": round(run.load_s, 2),
        "wall_s": round(run.wall_s, 2),
        "x_real_time": round(audio_s / run.wall_s, 2),
        "cpu_s_per_audio_s": round(run.cpu_s / audio_s, 4),
        "peak_mb": round(run.peak_mb, 1),
        "wall_x_workers_over_engine": round(run.wall_s * run.workers / engine_s, 3) if engine_s else None,
        "wall_x_workers_over_engine_calls": round(run.wall_s * run.workers / run.calls_s, 3),
        "share_of_calls": {name: round(seconds / run.calls_s, 3) for name, seconds in run.by_call_s.items()},
        "threads": job.threads,
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "when": time.strftime("%Y-%m-%d"),
    }


if __name__ == "__main__":
    main()

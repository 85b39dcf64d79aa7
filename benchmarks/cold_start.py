"""How long a cold process takes: `--help`, the import, the words of a 5 s clip, the first segment of a long file.

Each figure is of whole processes, from their start: the median of `--repeats`, with the range. What the system has read
from disk before stays in its cache; the first run of each is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import wave
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
KIT = Path(os.environ.get("AUTORAG_WHISPER_KIT") or ROOT.parent / "shared" / "kit")
COMMAND = Path(sys.executable).with_name("autorag-whisper")
CLIP_S = 5.0

FIRST_SEGMENT = """
import sys
from autorag_whisper.allocator import tune_allocator
tune_allocator()
from autorag_whisper import build_transcriber
with build_transcriber() as transcriber:
    with transcriber.stream(sys.argv[1], model=sys.argv[2]) as stream:
        print(next(stream).text, flush=True)
        sys.stdin.readline()
"""
"""A program of a user's: the first segment as soon as it is there. It waits to be told that it was seen."""

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Case:
    """A process to time. `until_output`: its first output counts, not its end. `goal_s`: what it should stay under."""

    name: str
    command: tuple[str, ...]
    goal_s: float | None
    until_output: bool = False


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as scratch:
        clip = arguments.clip or five_seconds(Path(scratch, "clip.wav"))
        rows = {}
        for case in cases(clip, arguments.long, arguments.model, arguments.engine):
            seconds = [timed(case) for _ in range(arguments.repeats + 1)][1:]
            rows[case.name] = row = figures(case, seconds)
            print(line(case, row))
    result = {
        "model": arguments.model,
        "engine": arguments.engine,
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "date": time.strftime("%Y-%m-%d"),
        "cases": rows,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="base")
    parser.add_argument("--engine", default="auto", help="as AUTORAG_WHISPER_ENGINE has it")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clip", type=Path, help="default: the first 5 s of samples/demo.flac")
    parser.add_argument(
        "--long", type=Path, default=KIT / "tts" / "long_60min.opus", help="left out if it is not there"
    )
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def cases(clip: Path, long: Path, model: str, engine: str = "auto") -> list[Case]:
    """What is timed."""
    command, python = str(COMMAND), sys.executable
    transcribe = (command, "transcribe", "--engine", engine, "-m", model, "-f", "txt", "-o", "-")
    found = [
        Case("autorag-whisper --help", (command, "--help"), 0.2),
        Case("python -c 'import autorag_whisper'", (python, "-c", "import autorag_whisper"), 0.1),
        Case("python -c 'pass', for comparison", (python, "-c", "pass"), None),
        Case(f"transcribe, {CLIP_S:g} s, words on screen", (*transcribe, str(clip)), 0.9, until_output=True),
        Case(f"transcribe, {CLIP_S:g} s, whole process", (*transcribe, str(clip)), 1.5),
    ]
    if long.exists():
        program = (python, "-c", FIRST_SEGMENT, str(long), model)
        found.append(Case("first segment of a long file, from Python", program, 3.0, until_output=True))
    return found


def five_seconds(target: Path) -> Path:
    """The first seconds of the sample as a WAV file."""
    from autorag_whisper.audio.decode import MediaDecoder
    from autorag_whisper.audio.source import MediaSource

    source = MediaSource.from_path(ROOT / "samples" / "demo.flac")
    with source.open() as file, MediaDecoder(file, source.name) as decoder:
        blocks = [block.data for block in decoder]
    import numpy as np

    samples = np.concatenate(blocks)[: int(CLIP_S * 16_000)]
    with wave.open(str(target), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    return target


def timed(case: Case) -> float:
    """Seconds from the start of the process to its end, or to its first output. Raises if it fails or says nothing."""
    began = time.perf_counter()
    with subprocess.Popen(
        case.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        first = process.stdout.read1(1)
        first_s = time.perf_counter() - began
        _, errors = process.communicate(b"\n")
    whole_s = time.perf_counter() - began
    if process.returncode or (case.until_output and not first):
        raise RuntimeError(f"{case.name} ended with {process.returncode}: {errors.decode(errors='replace')[-2000:]}")
    return first_s if case.until_output else whole_s


def environment() -> dict[str, str]:
    """As a user's, but without any connection."""
    return os.environ | {"AUTORAG_WHISPER_OFFLINE": "1"}


def figures(case: Case, seconds: Sequence[float]) -> dict[str, float]:
    """The row of a case in the result."""
    row = {"median_s": median(seconds), "low_s": min(seconds), "high_s": max(seconds)}
    goal = {"goal_s": case.goal_s} if case.goal_s else {}
    return {name: round(value, 3) for name, value in row.items()} | goal


def line(case: Case, row: Mapping[str, float]) -> str:
    """The row for people."""
    goal = f", goal {case.goal_s} s" if case.goal_s else ""
    return f"{case.name:<42} {row['median_s']:.3f} s ({row['low_s']:.3f} to {row['high_s']:.3f}){goal}"


if __name__ == "__main__":
    main()

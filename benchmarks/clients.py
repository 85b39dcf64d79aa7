"""Callers of one transcriber: several at the same time against one after another. `python -m benchmarks.clients -h`.

A round does both, alternately, so that whatever else the machine does falls on both. Prints a line of JSON a round.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper import TranscribeOptions, build_transcriber

if TYPE_CHECKING:
    from autorag_whisper.transcriber import Transcriber


def transcribed(transcriber: Transcriber, file: Path, model: str) -> tuple[float, str]:
    """Seconds until its first segment, and its text."""
    began = time.perf_counter()
    first_s = 0.0
    with transcriber.stream(file, TranscribeOptions(language="en"), model=model) as stream:
        for _ in stream:
            first_s = first_s or time.perf_counter() - began
        return first_s, stream.result().text


def measured(transcriber: Transcriber, files: list[Path], model: str, clients: int) -> dict[str, float]:
    """Wall and processor time of `files`, that many at a time."""
    wall, processor = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(lambda file: transcribed(transcriber, file, model), files))
    return {
        "wall_s": round(time.perf_counter() - wall, 3),
        "processor_s": round(time.process_time() - processor, 3),
        "first_segment_s": round(sum(first_s for first_s, _ in found) / len(found), 3),
        "characters": sum(len(text) for _, text in found),
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("-m", "--model", default="tiny.en")
    parser.add_argument("-c", "--clients", type=int, nargs="+", default=[1, 2, 8])
    parser.add_argument("-r", "--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with build_transcriber() as transcriber:
        transcribed(transcriber, arguments.files[0], arguments.model)
        for number in range(arguments.rounds):
            found = {
                clients: measured(transcriber, arguments.files, arguments.model, clients)
                for clients in arguments.clients
            }
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            sys.stdout.write(json.dumps({"round": number, "peak_mb": peak_mb, **found}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

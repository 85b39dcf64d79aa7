"""`python -m benchmarks.fleet.stages PLAN OUT MODEL`: seconds of each stage of `archive run`, as JSON.

By the package's own metrics (load, recognise, align), by decoding the plan's recordings once more, and by writing
parts of results where OUT is.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

_PARTS, _RECORDS = 20, 64


def sums(reader: InMemoryMetricReader) -> dict[str, float]:
    """Name of a histogram, with the stage where it has one -> the sum of what was recorded."""
    found: dict[str, float] = {}
    data: Any = reader.get_metrics_data()
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            name = f"{metric.name}.{point.attributes.get('stage', '')}".rstrip(".").removeprefix("autorag.whisper.")
            found[name] = found.get(name, 0.0) + float(getattr(point, "sum", None) or getattr(point, "value", 0.0))
    return found


def decode_seconds(plan: Path) -> tuple[float, float]:
    """(processor seconds, seconds of audio) of decoding each recording of a plan."""
    from autorag_whisper.archive.sharded.plan_file import PlanFile
    from autorag_whisper.archive.sharded.rows import path_of
    from autorag_whisper.audio.decode import MediaDecoder

    audio_s, began = 0.0, time.process_time()
    for row in PlanFile(plan).rows():
        with path_of(row.uri).open("rb") as file, MediaDecoder(file, row.name) as decoder:
            audio_s += sum(len(block) for block in decoder) / 16_000
    return time.process_time() - began, audio_s


def store_seconds(out: Path) -> float:
    """Of a part of 64 results, with its sync."""
    from autorag_whisper.archive.sharded.parts import read_records, write_part

    parts = sorted(out.glob("*/parts/*/*.gz"))
    records = [record for path in parts for record in read_records(path)]
    several = (records * (_RECORDS // len(records) + 1))[:_RECORDS]
    target = out / "written"
    target.mkdir()
    began = time.monotonic()
    for number in range(_PARTS):
        write_part(target, number, several)
    return (time.monotonic() - began) / _PARTS


def main(plan: Path, out: Path, model: str) -> None:
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))  # before the package makes its meters
    from autorag_whisper.cli import run
    from autorag_whisper.cli.context import CommandContext

    assert run(["archive", "run", str(plan), "-o", str(out), "-m", model, "-q"], CommandContext()) == 0
    found = sums(reader)
    decode_s, audio_s = decode_seconds(plan)
    print(json.dumps({
        "load_s": round(found["model.load.duration"], 4),
        "decode_s": round(decode_s / audio_s, 6),
        "recognise_s": round(found["stage.duration.recognise"] / audio_s, 6),
        "align_s": round(found["stage.duration.align"] / audio_s, 6),
        "store_s": round(store_seconds(out), 5),
    }))  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])

"""Other languages with exact times: tests/data/spoken_*.opus (`scripts/make_spoken.py`), cut into their sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.timing import made

DATA = Path(__file__).resolve().parents[2] / "tests" / "data"
TAG = "spoken"


def make(folder: Path) -> list[dict[str, Any]]:
    """Write their recordings, and the manifest, into `folder`; the manifest's lines."""
    rows = []
    for truth in sorted(DATA.glob("spoken_*.json")):
        whole = made.read(truth.with_suffix(".opus"))
        for told in json.loads(truth.read_text(encoding="utf-8")):
            samples = whole[told["first"] : told["first"] + told["samples"]]
            words = [{"w": w} if start is None else made.at(w, start, end) for w, start, end in told["words"]]
            line = made.row(folder, told["name"], samples, words, "exact", "espeak", TAG)
            rows.append(line | {"language": told["language"]})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows

"""Memory does not grow with the file: measured on whole processes, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def peak_mb(root: Path, file: Path, result: Path) -> float:
    """The peak memory of a process that transcribes `file` with base."""
    command = [sys.executable, "benchmarks/folder.py", "ours", str(file), "--json", str(result)]
    subprocess.run(command, cwd=root, check=True, capture_output=True, env=dict(os.environ), timeout=1500)
    return float(json.loads(result.read_text())["peak_mb"])


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.timeout(3600)
def test_an_hour_takes_little_more_memory_than_ten_minutes(root: Path, kit: Path, tmp_path: Path) -> None:
    # The larger of two runs: in ten minutes it is chance whether the two largest batches meet, in an hour they do.
    short = max(peak_mb(root, kit / "tts" / "long_10min.flac", tmp_path / f"short{n}.json") for n in range(2))
    long = peak_mb(root, kit / "tts" / "long_60min.opus", tmp_path / "long.json")
    assert long <= 1.2 * short
    assert long < 1500

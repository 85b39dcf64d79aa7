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


def peak_mb(root: Path, files: list[Path], result: Path) -> float:
    """The peak memory of a process that transcribes these files with base."""
    command = [sys.executable, "benchmarks/folder.py", "ours", *map(str, files), "--json", str(result)]
    subprocess.run(command, cwd=root, check=True, capture_output=True, env=dict(os.environ), timeout=1500)
    return float(json.loads(result.read_text())["peak_mb"])


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.timeout(3600)
def test_an_hour_takes_little_more_memory_than_as_much_in_files_of_ten_minutes(
    root: Path, kit: Path, tmp_path: Path
) -> None:
    # As much of both, as it is chance when the two largest batches meet: in one file of ten minutes they often do not.
    short = peak_mb(root, 6 * [kit / "tts" / "long_10min.flac"], tmp_path / "short.json")
    long = peak_mb(root, [kit / "tts" / "long_60min.opus"], tmp_path / "long.json")
    assert long <= 1.15 * short
    assert long < 900

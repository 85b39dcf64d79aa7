"""The comparison with a peer as a developer runs it, on a few minutes of the kit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.timeout(1800)
def test_ours_holds_its_ground_against_a_peer_on_a_few_minutes(root: Path, kit: Path, tmp_path: Path) -> None:
    result = tmp_path / "check.json"
    command = [sys.executable, "-m", "benchmarks.compare", "check", str(result)]
    environ = os.environ | {"AUTORAG_WHISPER_KIT": str(kit)}
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, timeout=1500, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "WRONG" in line]) == (0, [])
    row = json.loads(result.read_text())
    assert set(row["engines"]) == {"ours", "fw-batched"}
    assert {"whole", "short", "real", "tts", "english", "other", "no-speech"} <= row["groups"].keys()
    assert 120 < row["groups"]["whole"]["ours"]["audio_s"] < 600
    assert "### check" in done.stdout

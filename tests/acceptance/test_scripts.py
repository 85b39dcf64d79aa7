"""The scripts of the card run from end to end where there is none: what they can do on a CPU, and nothing missed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

ON_A_CPU = {
    "the device is found",
    "a first job",
    "spans of a second job",
    "two tenants in turn",
    "a worker process that has ended",
}
"""Checks that need no card; the others say that they do."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_check_of_a_card_runs_on_a_cpu_and_skips_only_what_needs_a_card(root: Path, tmp_path: Path) -> None:
    table = tmp_path / "rows.json"
    run(root, "scripts/gpu_check.py", "--model", "tiny.en", "--device", "cpu", "--json", str(table))
    rows = {row["check"]: row for row in json.loads(table.read_text())}
    assert len(rows) == 12
    assert {name for name, row in rows.items() if row["verdict"] == "ok"} == ON_A_CPU
    assert {row["verdict"] for row in rows.values()} == {"ok", "not run"}
    assert all(row["found"] for row in rows.values())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_transcription_and_an_llm_hand_the_card_to_each_other(root: Path) -> None:
    said = run(root, "scripts/hand_overs.py", "samples/demo.flac", "--copies", "2")
    leases = {line.split(":")[0]: int(line.split()[1]) for line in said.splitlines()}
    assert set(leases) == {"whisper", "llm"}
    assert all(count > 0 for count in leases.values())


def run(root: Path, *arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

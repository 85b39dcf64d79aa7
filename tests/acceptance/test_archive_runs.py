"""Archives with a real engine: whatever is killed, and whoever starts the processes, the words are those of one."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

import pytest
from benchmarks.archive import cut_clips, measure_kills, merged, run

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.timeout(1500)  # processes that are killed are begun again, on a busy machine slowly


@pytest.mark.slow
@pytest.mark.parametrize("shares", [False, True])
def test_what_is_killed_at_random_ends_with_the_words_of_one_that_is_left_alone(
    tmp_path: Path, demo_sample: Path, shares: bool
) -> None:
    given = Namespace(sources=[demo_sample], count=60, seconds=5.0, model="tiny.en", kills=3, processes=2, seed=7,
                      shares=shares, kill_after_s=(0.5, 1.2))  # fmt: skip
    # Processor seconds: a start takes some 0.6, all clips 5, so the first kill comes before they are done.
    found = measure_kills(tmp_path, given)
    assert found["equal"]
    assert found["missing"] == 0
    assert found["killed"] >= 1
    assert found["starts"] > found["killed"]
    assert found["most_loads_of_a_process"] == 1, "each process loads its model once"
    assert sum(found["failed"].values()) == 1, "the broken one"


@pytest.mark.slow
def test_the_tasks_of_a_slurm_array_end_with_the_words_of_one_process(
    tmp_path: Path, demo_sample: Path, root: Path
) -> None:
    # A stand-in for SLURM: it starts each task with the variables that sbatch would give it.
    tasks = 3
    cut_clips(demo_sample, tmp_path / "clips", 12, 4.0)
    plan, out = tmp_path / "plan.jsonl", tmp_path / "out"
    options = ("--shard-minutes", "1", "--speed", "0.1")
    assert run("archive", "plan", tmp_path / "clips", "-o", plan, *options)["code"] == 0
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "autorag-whisper"
    command.write_text(f"#!{sys.executable}\nfrom autorag_whisper.cli import main\nmain()\n")
    command.chmod(0o755)
    environ = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PLAN": str(plan), "RESULTS": str(out),
                            "SLURM_ARRAY_TASK_COUNT": str(tasks), "SLURM_ARRAY_TASK_MIN": "0",
                            "SLURM_CPUS_PER_TASK": "1"}  # fmt: skip
    started = [
        subprocess.Popen(
            ["bash", root / "deploy" / "archive.slurm.sh", "-m", "tiny.en", "-q"],
            env=environ | {"SLURM_ARRAY_TASK_ID": str(task)},
        )
        for task in range(tasks)
    ]
    assert [task.wait() for task in started] == [0] * tasks
    assert run("archive", "run", plan, "-o", tmp_path / "alone", "-m", "tiny.en", "-q")["code"] == 0
    shared, alone = merged(plan, out, tmp_path / "m"), merged(plan, tmp_path / "alone", tmp_path / "n")
    assert len(shared) == 12
    assert shared == alone

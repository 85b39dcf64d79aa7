"""The examples of an archive on SLURM and Kubernetes: checked by their tools, and they start what the command takes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from autorag_whisper.archive.sharded.plan_file import Share
from autorag_whisper.cli import cli

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SLURM, KUBERNETES = DEPLOY / "archive.slurm.sh", DEPLOY / "archive.kubernetes.yaml"


def taken(arguments: list[str]) -> dict[str, Any]:
    """The options of a command line that begins with `autorag-whisper`. Raises click's errors."""
    assert arguments[:3] == ["autorag-whisper", "archive", "run"]
    archive = cli.get_command(None, "archive")  # type: ignore[arg-type]  # it asks for none
    assert isinstance(archive, click.Group)
    # A command keeps the help option of the first context that it is asked in: `-h` is that of the one above.
    with (
        archive.make_context("archive", arguments[2:]) as above,
        archive.commands["run"].make_context("run", arguments[3:], parent=above) as context,
    ):
        return context.params


def slurm_shares(tasks: range, folder: Path) -> list[Share]:
    """The shares of an array's tasks, from a command that prints what it is given in the place of ours."""
    fake = folder / "autorag-whisper"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" autorag-whisper "$@"\n')
    fake.chmod(0o755)
    shares = []
    for task in tasks:
        environ = {"PATH": f"{folder}:{os.defpath}", "PLAN": "plan.jsonl", "RESULTS": "results dir",
                   "SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": str(len(tasks)),
                   "SLURM_ARRAY_TASK_MIN": str(tasks[0])}  # fmt: skip
        done = subprocess.run(
            ["bash", SLURM, "--model", "small"], env=environ, capture_output=True, check=True, text=True
        )
        given = taken(done.stdout.splitlines())
        assert (str(given["output_dir"]), given["model"]) == ("results dir", "small")
        shares.append(Share.parse(given["share"]))
    return shares


def test_shellcheck_finds_nothing_in_the_script_for_slurm() -> None:
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("needs shellcheck")
    done = subprocess.run([shellcheck, SLURM], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("first", [0, 1, 7])
def test_the_tasks_of_a_slurm_array_do_all_shards_whatever_number_it_begins_with(tmp_path: Path, first: int) -> None:
    assert slurm_shares(range(first, first + 3), tmp_path) == [Share(0, 3), Share(1, 3), Share(2, 3)]


def test_a_slurm_task_without_a_plan_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(["bash", SLURM], env={"PATH": os.defpath}, capture_output=True, check=False, text=True)
    assert done.returncode != 0
    assert "PLAN" in done.stderr


def job() -> Any:
    return yaml.safe_load(KUBERNETES.read_text(encoding="utf-8"))


def kubernetes_arguments(index: int) -> list[str]:
    """What the kubelet starts in a pod: `$(NAME)` is what the container's environment has."""
    [container] = job()["spec"]["template"]["spec"]["containers"]
    assert [variable["name"] for variable in container["env"]] == ["JOB_COMPLETION_INDEX"]
    return [
        re.sub(r"\$\((\w+)\)", lambda _match: str(index), text) for text in (*container["command"], *container["args"])
    ]


def test_the_indices_of_the_kubernetes_job_do_all_shards() -> None:
    count = job()["spec"]["completions"]
    shares = [Share.parse(taken(kubernetes_arguments(index))["share"]) for index in range(count)]
    assert shares == [Share(index, count) for index in range(count)]


def test_the_kubernetes_job_writes_to_volumes_alone_and_knows_which_error_stays() -> None:
    spec = job()["spec"]
    pod = spec["template"]["spec"]
    [container] = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted.keys() == {volume["name"] for volume in pod["volumes"]}
    given = taken(kubernetes_arguments(0))
    assert all(str(given[name]).startswith(mounted["archive"]) for name in ("plan_path", "output_dir"))
    assert spec["completionMode"] == "Indexed"
    rules = {rule["action"]: rule for rule in spec["podFailurePolicy"]["rules"]}
    assert rules["FailJob"]["onExitCodes"]["values"] == [2], "bad usage"
    assert pod["restartPolicy"] == "Never", "which the policy demands"

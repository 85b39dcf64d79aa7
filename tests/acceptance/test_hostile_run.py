"""Every hostile file of the kit in one run of the command: whatever one of them does, the others are done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from autorag_whisper.archive.naming import stem_of
from kit import read_manifest

if TYPE_CHECKING:
    from kit import Clip

COMMAND = Path(sys.executable).with_name("autorag-whisper")
FORBIDDEN = {"unreadable.wav", "no_enter"}  # by its permissions alone: nothing is forbidden to root


def result_of(clip: Clip, outputs: Path) -> Any:
    """What the run wrote for a clip, under its whole name or its stem; None if nothing."""
    for name in (clip.path.name, stem_of(clip.path.name)):
        if (outputs / f"{name}.json").is_file():
            return json.loads((outputs / f"{name}.json").read_bytes())
    return None


def is_as_expected(clip: Clip, result: Any) -> bool:
    if clip.expect == "error":
        return result is None
    if result is None:
        return clip.expect == "either"
    if clip.expect == "partial":
        return bool(result["words"]) and any(result["media"]["damage"].values())
    return clip.expect == "either" or bool(result["words"]) == (clip.expect == "text")


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.timeout(1200)
def test_one_run_over_all_hostile_files_gives_each_what_it_deserves(nasty: Path, tmp_path: Path) -> None:
    subprocess.run(["bash", nasty / "make_special.sh"], check=True, capture_output=True)
    clips = [
        clip
        for clip in read_manifest(nasty)
        if not clip.path.is_dir() and not (os.geteuid() == 0 and FORBIDDEN & set(clip.path.parts))
    ]
    temporary, outputs = tmp_path / "tmp", tmp_path / "out"
    temporary.mkdir()
    command = [COMMAND, "transcribe", "-m", "tiny.en", "-f", "json", "-o", outputs, "--", *(c.path for c in clips)]
    before = set(nasty.rglob("*"))
    done = subprocess.run(command, capture_output=True, check=False, env=os.environ | {"TMPDIR": str(temporary)})

    results = [(clip, result_of(clip, outputs)) for clip in clips]
    wrong = [clip.path.name for clip, result in results if not is_as_expected(clip, result)]
    assert (done.returncode, done.stdout, wrong) == (1, b"", [])
    assert b"Traceback" not in done.stderr
    failed = sum(result is None for _, result in results)
    assert f"{failed} of {len(clips)} files failed:\n".encode() in done.stderr
    assert list(temporary.iterdir()) == []
    assert set(nasty.rglob("*")) == before
    assert [path.name for path in outputs.rglob("*.tmp")] == []

"""`autorag-whisper formats list` says what the table says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from autorag_whisper.audio.allowlist import TABLE
from autorag_whisper.cli import run

if TYPE_CHECKING:
    import pytest


def test_every_container_is_listed_with_its_suffixes_and_the_codecs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["formats", "list"]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert any(line.startswith("matroska ") and ".mkv" in line for line in lines)
    assert any(line.startswith("gsm ") and "by its suffix" in line for line in lines)
    assert "pcm_s16le" in lines[-1]


def test_json_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["formats", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in found["containers"]} <= {one.name for one in TABLE}
    dss = next(row for row in found["containers"] if row["name"] == "dss")
    assert dss["suffixes"] == [".dss"]
    assert not dss["needs_suffix"]
    assert "gsm" in found["codecs"]

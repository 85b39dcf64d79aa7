"""What the command says is what it did: `doctor` beside a result, and a status line beside what was asked for."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.cli import run
from autorag_whisper.cli.context import CommandContext

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


@pytest.fixture
def environ() -> dict[str, str]:
    return dict(os.environ)


def kinds_of(result: dict[str, Any]) -> list[str]:
    """Of its notes, without what a machine says that has no compiler, so no native engine."""
    return [note["kind"] for note in result["notes"] if note["kind"] != "engine_not_used"]


@pytest.mark.parametrize("compute_type", ["default", "int8", "int8_float32", "float32"])
def test_doctor_names_the_compute_type_that_results_have(
    compute_type: str, environ: dict[str, str], demo_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one said int8, the other int8_float32."""
    context = CommandContext(environ | {"AUTORAG_WHISPER_COMPUTE_TYPE": compute_type, "AUTORAG_WHISPER_DEVICE": "cpu"})
    run(["doctor", "--json"], context)
    would = json.loads(capsys.readouterr().out)["device"]["would be used"]
    assert run(["transcribe", str(demo_sample), "-m", "tiny.en", "-f", "json", "-o", str(tmp_path)], context) == 0
    result = json.loads((tmp_path / "demo.json").read_text())
    assert would.startswith(f"{result['device']}, {result['compute_type']}: ")
    assert not kinds_of(result)


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_card_and_a_compute_type_that_are_not_there_are_told(
    how: str, environ: dict[str, str], demo_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--device cuda --compute-type float16` on a machine without a card: not a word was said."""
    arguments = ["transcribe", str(demo_sample), "-m", "tiny.en", "-f", "json", "-o", str(tmp_path)]
    if how == "option":
        arguments += ["--device", "cuda", "--compute-type", "float16"]
    else:
        environ |= {"AUTORAG_WHISPER_DEVICE": "cuda", "AUTORAG_WHISPER_COMPUTE_TYPE": "float16"}
    assert run(arguments, CommandContext(environ)) == 0
    result = json.loads((tmp_path / "demo.json").read_text())
    if result["device"] != "cpu":
        pytest.skip("there is a card")
    line = next(line for line in capsys.readouterr().err.splitlines() if "demo.flac" in line)
    asked = "cuda" if how == "option" else "AUTORAG_WHISPER_DEVICE=cuda"
    assert f"on the CPU instead of {asked}: no CUDA" in line
    assert "int8_float32 instead of float16, which cpu does not offer" in line
    assert kinds_of(result) == ["device_not_used", "compute_type_not_used"]


@pytest.mark.kit
def test_speech_whose_text_was_rejected_is_told_as_such(
    kit: Path, environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Portuguese taken for something else: all its text was rejected, and "no speech found" was said."""
    clip = str(kit / "tts" / "es_pt01.flac")
    arguments = ["transcribe", clip, "--allowed-languages", "pl,pt,sv,en", "-f", "json", "-o", str(tmp_path)]
    assert run(arguments, CommandContext(environ)) == 0
    result = json.loads((tmp_path / "es_pt01.json").read_text())
    line = capsys.readouterr().err.splitlines()[0]
    assert result["coverage"]["speech_s"] > 1
    assert "no speech found" not in line
    for rejected in result["rejected"]:
        assert rejected["reason"].partition(":")[0] in line
    assert result["segments"] or f"{result['coverage']['skipped_s']:.1f} s of speech left out" in line

"""`autorag-whisper doctor`: what it says of a sound world and of broken ones."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from autorag_whisper import __version__
from autorag_whisper.cli import checks, run
from autorag_whisper.cli.context import CommandContext
from autorag_whisper.device.devices import Devices
from autorag_whisper.domain.device import Hardware

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.engines.native_library import NativeLibrary


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"AUTORAG_WHISPER_CACHE_DIR": str(tmp_path / "cache"), "AUTORAG_WHISPER_OFFLINE": "1"}


def report(environ: dict[str, str], capsys: pytest.CaptureFixture[str], code: int) -> Any:
    assert run(["doctor", "--json"], CommandContext(environ)) == code
    return json.loads(capsys.readouterr().out)


def test_a_sound_world_is_exit_code_0_and_holds_no_problem(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = report(environ, capsys, 0)
    assert (found["ok"], found["problems"]) == (True, [])
    assert found["system"]["autorag-whisper"] == __version__
    assert found["packages"]["ctranslate2"]
    assert found["environment"] == environ
    assert found["models"]["cache"] == environ["AUTORAG_WHISPER_CACHE_DIR"]
    assert {"tiny.en", "base"} <= found["models"].keys()
    assert {"wav", "mp3", "mov", "matroska"} <= set(found["media"]["formats"].split())


def test_looking_leaves_nothing_behind(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report(environ, capsys, 0)
    assert list(tmp_path.iterdir()) == []


def test_the_text_names_every_section_and_ends_with_the_verdict(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor"], CommandContext(environ)) == 0
    lines = capsys.readouterr().out.splitlines()
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["system:", "packages:", "environment:", "device:", "engine:", "models:", "media:"]
    assert lines[-1] == "Everything that was looked at is in order."


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AUTORAG_WHISPER_THREADS", "many", "AUTORAG_WHISPER_THREADS='many'"),
        ("AUTORAG_WHISPER_" + "DEVISE", "cpu", "DEVISE is set and means nothing"),
    ],
)
def test_a_bad_variable_is_a_problem_with_a_remedy(
    name: str, value: str, said: str, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    [problem] = report(environ | {name: value}, capsys, 1)["problems"]
    assert said in problem["problem"]
    assert problem["remedy"]
    assert problem["section"] == "environment"


def test_a_cache_directory_that_cannot_be_written_is_a_problem(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    environ["AUTORAG_WHISPER_CACHE_DIR"] = str(tmp_path / "file" / "cache")
    [problem] = report(environ, capsys, 1)["problems"]
    assert problem["problem"].startswith("the cache directory")
    assert run(["doctor"], CommandContext(environ)) == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"    -> {problem['remedy']}"


def test_an_engine_that_was_chosen_and_is_not_installed_is_a_problem_with_its_extra(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    [problem] = report(environ | {"AUTORAG_WHISPER_ENGINE": "whisperx"}, capsys, 1)["problems"]
    assert problem["problem"] == "whisperx is not installed"
    assert "autorag-whisper[whisperx]" in problem["remedy"]


def on(hardware: Hardware, environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Any:
    """What doctor says of a machine with this hardware."""
    run(["doctor", "--json"], CommandContext(environ, devices=lambda: Devices(lambda: hardware)))
    return json.loads(capsys.readouterr().out)


def test_the_device_and_precision_that_would_be_used_come_with_the_reason(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    card = Hardware(2, frozenset({"float16", "int8"}), frozenset({"int8", "float32"}))
    found = on(card, environ, capsys)["device"]
    assert found["would be used"].startswith("cuda, float16: ")
    assert found["cuda compute types"] == "float16 int8"
    assert "for 900 s if memory ran out" in found["a card that fails"]
    pinned = on(card, environ | {"AUTORAG_WHISPER_DEVICE": "cpu"}, capsys)["device"]
    assert pinned["would be used"].startswith("cpu, int8_float32: ")


def test_a_card_that_is_wanted_and_missing_is_wrong_and_has_a_remedy(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    none = Hardware(0, frozenset(), frozenset({"int8"}), "the driver is too old")
    found = on(none, environ | {"AUTORAG_WHISPER_DEVICE": "CUDA"}, capsys)
    [problem] = found["problems"]
    assert "the driver is too old" in problem["problem"]
    assert "driver" in problem["remedy"]


def test_a_compute_type_that_the_device_lacks_is_wrong(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    none = Hardware(0, frozenset(), frozenset({"int8", "float32"}))
    forced = environ | {"AUTORAG_WHISPER_DEVICE": "cpu", "AUTORAG_WHISPER_COMPUTE_TYPE": "float16"}
    found = on(none, forced, capsys)
    [problem] = found["problems"]
    assert "float16" in problem["problem"]
    assert "int8" in problem["remedy"]


def test_every_package_that_the_core_depends_on_is_looked_at(root: Path) -> None:
    lines = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    named = {re.split(r"[ ;<>=!\[]", line)[0] for line in lines}
    assert named - {"click"} == set(checks._RUNTIMES)  # click has imported if this command runs


def test_a_compute_type_that_would_not_be_used_is_wrong(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = report(environ | {"AUTORAG_WHISPER_COMPUTE_TYPE": "float16"}, capsys, 1)
    assert "int8_float32 instead of float16, which cpu does not offer" in found["problems"][0]["problem"]


def test_every_setting_that_a_transcription_would_refuse_is_wrong(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """`AUTORAG_WHISPER_LLM=foo` was in order here, and the next command failed."""
    found = report({**environ, "AUTORAG_WHISPER_LLM": "foo"}, capsys, 1)
    (problem,) = found["problems"]
    assert problem["problem"] == "AUTORAG_WHISPER_LLM cannot be 'foo'"
    assert "ollama:http" in problem["remedy"]
    report({**environ, "AUTORAG_WHISPER_LLM": "ollama:http://127.0.0.1:11434"}, capsys, 0)


def test_it_says_which_engine_computes_and_why(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str], native_library: NativeLibrary
) -> None:
    wanted = environ | {"AUTORAG_WHISPER_ENGINE": "native"}
    found = report(wanted, capsys, 0)["engine"]
    assert found["wanted"] == "native"
    assert found["native engine"].startswith(native_library.path.name)
    assert found["on a CPU"].startswith("native: ")
    scalar = report(wanted | {"AUTORAG_WHISPER_NATIVE_ISA": "scalar"}, capsys, 0)["engine"]
    assert scalar["native engine"].endswith("computes by scalar")
    left = report(environ | {"AUTORAG_WHISPER_NATIVE_ISA": "scalar"}, capsys, 0)["engine"]
    assert left["on a CPU"].startswith("ctranslate2: ")


def test_an_engine_that_is_wanted_and_not_here_is_wrong(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = environ | {"AUTORAG_WHISPER_ENGINE": "native", "AUTORAG_WHISPER_NATIVE_ISA": "of_another_age"}
    found = report(wanted, capsys, 1)
    assert not found["ok"]
    [problem] = [one for one in found["problems"] if one["section"] == "engine"]
    assert "cannot be used" in problem["problem"]
    assert "C++ compiler" in problem["remedy"]

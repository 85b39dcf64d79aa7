"""The outermost context: commands by name, exit codes, what is logged."""

from __future__ import annotations

import io
import logging
import re
import sys
from typing import TYPE_CHECKING

import click
import pytest

from autorag_whisper import __version__
from autorag_whisper.cli import cli, exits, run
from autorag_whisper.cli.context import CommandContext
from cli_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_the_help_names_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    run(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    codes = {value for value in vars(exits).values() if isinstance(value, int)}
    assert codes == {int(code) for code in re.findall(r"[:,] (\d+) ", told)}


def commands(group: click.Command, *above: str) -> Iterator[list[str]]:
    """Every command, by its names from the first on."""
    yield [*above]
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            below = group.get_command(context, name)
            assert below is not None
            yield from commands(below, *above, name)


@pytest.mark.parametrize("names", list(commands(cli)), ids=" ".join)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_a_help_which_is_exit_code_0(
    names: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*names, option]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: {' '.join(['autorag-whisper', *names])} [OPTIONS]")


def test_the_version_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"autorag-whisper, version {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["transcripe"], ["--nonsense"], ["transcribe"]])
def test_a_wrong_command_line_is_exit_code_2_and_said_on_standard_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Usage: autorag-whisper" in captured.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["talk.mp4"],
        ["./talks"],
        ["talks"],
        ["*.mp4"],
        ["-m", "small", "talk.mp4"],
        ["--force", "talk.mp4"],
        ["-f", "txt", "-o", "-", "talk.mp4"],
        ["--", "talk.mp4"],
        ["talk.mp4", "-f", "txt"],
    ],
)
def test_files_without_a_command_are_transcribed(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talks").mkdir()
    for name in ("talk.mp4", "talks/talk.mp4"):
        (tmp_path / name).write_text("hello")
    world = World()
    assert world.command(*arguments) == 0
    assert world.transcribed == ["talk.mp4"]


def test_standard_input_without_a_command_is_transcribed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hello there")))
    assert World().command("-", "-f", "txt") == 0
    assert capsys.readouterr().out == "hello there\n"


@pytest.mark.parametrize("arguments", [["-v"], ["-q"], ["--force", "-v"]])
def test_switches_may_stand_before_the_command(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The command's name was taken for a file that is missing."""
    assert run([*arguments, "transcribe", str(tmp_path / "no.mp3")], CommandContext({})) == 2
    told = capsys.readouterr().err
    assert "no.mp3: no such file" in told
    assert "transcribe: no such" not in told


def test_a_command_is_never_taken_for_a_file_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").write_text("hello")
    world = World()
    assert world.command("models", "--help") == 0
    assert world.command("./models") == 0
    assert world.transcribed == ["models"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["transcripe", "talk.mp4"], "no command and no file called 'transcripe'. Did you mean 'transcribe'?"),
        (["xyz"], "no command and no file called 'xyz'."),
        (["gone.mp4"], "nothing to transcribe: gone.mp4: no such file or folder"),
        (
            ["https://example.org/talk.mp3?x=1"],
            "nothing to transcribe: https://example.org/talk.mp3?x=1: only files are",
        ),
        (["./gone"], "nothing to transcribe: ./gone: no such file or folder"),
        (["--modell", "small", "talk.mp4"], "--modell"),
    ],
)
def test_what_is_neither_a_command_nor_a_file_is_named(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk.mp4").write_text("hello")
    world = World()
    assert world.command(*arguments) == 2
    assert said in capsys.readouterr().err
    assert world.transcribed == []


def test_the_help_says_the_same_of_a_command_as_the_command_itself(capsys: pytest.CaptureFixture[str]) -> None:
    context = click.Context(cli)
    run(["--help"])
    lines = dict(re.findall(r"^  ([a-z]+) +(\S.*)$", capsys.readouterr().out, re.MULTILINE))
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert name in lines
        assert command.name == name


def test_ctrl_c_is_exit_code_130(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupting(dict[str, str]):
        def get(self, *_: object) -> str:
            raise KeyboardInterrupt

    assert run(["doctor"], CommandContext(Interrupting())) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_verbose_shows_the_packages_own_log_for_one_run() -> None:
    logger = logging.getLogger("autorag_whisper")
    run(["transcribe", "--verbose"])
    assert logger.isEnabledFor(logging.DEBUG)
    run(["--version"])
    assert not logger.isEnabledFor(logging.INFO)

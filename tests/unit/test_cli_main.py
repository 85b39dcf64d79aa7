"""The outermost edge: commands by name, exit codes, what is logged."""

from __future__ import annotations

import logging
import re

import click
import pytest

from autorag_whisper import __version__
from autorag_whisper.cli import cli, run
from autorag_whisper.cli.edge import Edge


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], ["transcribe", "--help"], ["doctor", "-h"], ["models", "--help"]]
)
def test_help_is_exit_code_0(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    assert capsys.readouterr().out.startswith("Usage: autorag-whisper")


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

    assert run(["doctor"], Edge(Interrupting())) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_verbose_shows_the_packages_own_log_for_one_run() -> None:
    logger = logging.getLogger("autorag_whisper")
    run(["transcribe", "--verbose"])
    assert logger.isEnabledFor(logging.DEBUG)
    run(["--version"])
    assert not logger.isEnabledFor(logging.INFO)

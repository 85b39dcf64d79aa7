"""The command's options of recognition: each reaches the run, a bad value is bad usage, the help has sections."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click
import pytest

from autorag_whisper.cli.recognition_options import REST, SECTIONS
from autorag_whisper.cli.transcribe import transcribe
from autorag_whisper.domain.clips import Clip
from autorag_whisper.domain.request import Aligner, Quality, Task, TranscribeOptions
from cli_world import World

if TYPE_CHECKING:
    from pathlib import Path

GIVEN: list[tuple[list[str], str, Any]] = [
    (["--language", "de"], "language", "de"),
    (["--language", "zh-Hans"], "language", "zh-Hans"),
    (["--allowed-languages", "de,en"], "allowed_languages", ("de", "en")),
    (["--code-switching"], "code_switching", True),
    (["--task", "translate"], "task", Task.TRANSLATE),
    (["--quality", "best"], "quality", Quality.BEST),
    (["--aligner", "tokens"], "aligner", Aligner.TOKENS),
    (["--prompt", "Names"], "initial_prompt", "Names"),
    (["--hotwords", "Names"], "hotwords", "Names"),
    (["--prefix", "Well,"], "prefix", "Well,"),
    (["--audio-stream", "1"], "audio_stream", 1),
    (["--clip", "1:30-2:45,3:00-", "--clip", "5-6"], "clips", (Clip(5, 6), Clip(90, 165), Clip(180))),
    (["--no-vad"], "vad", False),
    (["--vad-threshold", "0.3"], "vad_threshold", 0.3),
    (["--vad-min-speech", "0.5"], "vad_min_speech_s", 0.5),
    (["--vad-min-silence", "1"], "vad_min_silence_s", 1.0),
    (["--vad-padding", "0.2"], "vad_pad_s", 0.2),
    (["--beam-size", "3"], "beam_size", 3),
    (["--temperature", "0,0.5"], "temperatures", (0.0, 0.5)),
    (["--patience", "2"], "patience", 2.0),
    (["--length-penalty", "-0.5"], "length_penalty", -0.5),
    (["--repetition-penalty", "1.1"], "repetition_penalty", 1.1),
    (["--no-repeat-ngram-size", "3"], "no_repeat_ngram_size", 3),
    (["--suppress-tokens", "-1,440"], "suppress_tokens", (-1, 440)),
    (["--suppress-tokens", ""], "suppress_tokens", ()),
    (["--no-suppress-blank"], "suppress_blank", False),
    (["--max-new-tokens", "100"], "max_new_tokens", 100),
    (["--no-speech-threshold", "0.4"], "no_speech_threshold", 0.4),
    (["--logprob-threshold", "-inf"], "logprob_threshold", float("-inf")),
    (["--compression-ratio-threshold", "2"], "compression_ratio_threshold", 2.0),
    (["--batch-size", "4"], "batch_size", 4),
]
NO_OPTION_OF_THE_COMMAND = {"max_duration_s", "script", "given_text"}
"""A limit for servers that take anybody's file, whoever types a command knows which; what `--language` says too; and
what is aligned a sentence at a time (`align_text`)."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "talk.mp3"
    path.write_text("some words")
    return path


def test_without_options_the_command_asks_for_the_defaults(file: Path) -> None:
    world = World()
    assert world.run(file) == 0
    assert world.options == [TranscribeOptions()]


@pytest.mark.parametrize(("arguments", "field", "value"), GIVEN, ids=str)
def test_an_option_of_the_command_reaches_the_run(file: Path, arguments: list[str], field: str, value: Any) -> None:
    world = World()
    assert world.run(*arguments, file) == 0
    assert world.options == [TranscribeOptions(**{field: value})]


def test_every_field_of_the_options_has_an_option_of_the_command() -> None:
    reached = {field for _, field, _ in GIVEN}
    assert {field.name for field in fields(TranscribeOptions)} - reached == NO_OPTION_OF_THE_COMMAND


@pytest.mark.parametrize(
    "arguments",
    [["--clip", "2-1"], ["--patience", "0"], ["--patience", "x"], ["--suppress-tokens", "a"], ["--prefix", "x" * 300],
     ["--max-new-tokens", "0"], ["--vad-threshold", "2"], ["--logprob-threshold", "nan"]],
    ids=str,
)  # fmt: skip
def test_a_bad_value_is_bad_usage_and_nothing_is_begun(file: Path, arguments: list[str]) -> None:
    world = World()
    assert world.run(*arguments, file) == 2
    assert not world.options


def test_the_help_has_every_option_once_in_sections(capsys: pytest.CaptureFixture[str]) -> None:
    World().run("--help")
    lines = capsys.readouterr().out.splitlines()
    titles = [line[:-1] for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert [title for title in titles if title in {*SECTIONS, REST}] == [*SECTIONS, REST]
    shown = [line.split()[0 if line.strip().startswith("--") else 1] for line in lines if line.startswith("  -")]
    options = [param for param in transcribe.params if isinstance(param, click.Option)]
    longest = {max(option.opts, key=len) for option in options}
    assert longest <= {name.rstrip(",") for name in shown}
    assert {name for names in SECTIONS.values() for name in names} <= {option.name for option in options}

"""`autorag-whisper bench`: what it measures of which files, and what it says where there is nothing to say."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

import click
import pytest

from autorag_whisper.cli import cli
from autorag_whisper.cli.bench import bench
from autorag_whisper.cli.transcribe import transcribe
from cli_world import BROKEN, World

if TYPE_CHECKING:
    from pathlib import Path


def ticking() -> World:
    """A world whose clock goes on by a second whenever it is read."""
    ticks = count()
    return World(clock=lambda: float(next(ticks)))


def measured(world: World, capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 0) -> Any:
    assert world.command("bench", "--json", *arguments) == code
    return json.loads(capsys.readouterr().out)


def test_audio_over_wall_is_the_speed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.wav").write_text("one two three")  # 2 s
    (tmp_path / "b.mp3").write_text("one two three four five")  # 3 s
    (tmp_path / "notes.txt").write_text("no media")
    world = ticking()
    figures = measured(world, capsys, tmp_path)
    assert (figures["files"], figures["failed"], figures["audio_s"]) == (2, 0, 5.0)
    assert figures["x_real_time"] == round(figures["audio_s"] / figures["wall_s"], 2)
    assert (figures["load_s"], figures["first_segment_s"]) == (1.0, 1.0)  # a tick each
    assert figures["cpu_s_per_audio_s"] >= 0
    assert figures["peak_memory_mb"] > 10
    assert world.closed == 1


def test_the_model_is_loaded_before_the_clock_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.wav").write_text("one")
    world = ticking()
    measured(world, capsys, tmp_path / "a.wav", "--model", "small", "--device", "cpu")
    assert [(handle.size, handle.hint) for handle in world.loaded] == [("small", "cpu")]


def test_the_options_reach_the_transcriber(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.wav").write_text("one")
    world = ticking()
    arguments = ("-l", "German", "--beam-size", "2", "--batch-size", "4", "--threads", "3", "--compute-type", "float32")
    figures = measured(world, capsys, tmp_path, *arguments)
    options, settings = world.options[0], world.settings[0]
    assert (options.language, options.beam_size, options.batch_size) == ("de", 2, 4)
    assert (settings.threads, settings.compute_type, figures["workers"]) == (3, "float32", 3)


def test_a_file_that_fails_is_left_out_of_the_figures_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.wav").write_bytes(BROKEN)
    (tmp_path / "b.wav").write_text("one two three")
    assert ticking().command("bench", "--json", tmp_path) == 1
    captured = capsys.readouterr()
    figures = json.loads(captured.out)
    assert (figures["files"], figures["failed"], figures["audio_s"]) == (1, 1, 2.0)
    assert figures["first_segment_s"] is None
    assert "a.wav: " in captured.err


def test_where_nothing_could_be_measured_no_figure_is_made_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.wav").write_bytes(BROKEN)
    figures = measured(ticking(), capsys, tmp_path, code=1)
    assert (figures["audio_s"], figures["x_real_time"]) == (0.0, 0.0)
    assert (figures["cpu_s_per_audio_s"], figures["engine_share"]) == (None, None)


def test_the_text_names_every_figure_with_its_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.wav").write_text("one two three")
    assert ticking().command("bench", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line[:13].strip(): line[15:] for line in lines}
    assert rows["speed"].endswith("\N{MULTIPLICATION SIGN} real time")
    assert rows["first segment"] == "1.00 s"
    assert rows["engine"] == "-"  # this world's engine gives no account of its time
    assert {"files", "model", "audio", "wall", "processor", "peak memory", "load"} <= rows.keys()


@pytest.mark.parametrize(
    "arguments", [["-"], ["missing.wav"], ["a.wav", "--device", "gpu"], ["a.wav", "--beam-size", "0"], []]
)
def test_bad_usage_is_exit_code_2_and_nothing_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    (tmp_path / "a.wav").write_text("one")
    monkeypatch.chdir(tmp_path)
    world = ticking()
    assert world.command("bench", *arguments) == 2
    assert world.loaded == []


def test_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.wav").write_text("one")
    measured(ticking(), capsys, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    ("typed", "meant"), [("CUDA:0", "cuda"), (" Auto ", "auto"), ("Cuda:1", "cuda:1"), ("CPU", "cpu")]
)
def test_a_device_is_the_one_that_transcribe_takes_it_for(tmp_path: Path, typed: str, meant: str) -> None:
    (tmp_path / "a.wav").write_text("one")
    world = ticking()
    for command in ("bench", "transcribe"):
        assert world.command(command, tmp_path / "a.wav", "--device", typed) == 0
    assert [handle.hint for handle in world.models] == [meant, meant]


def test_an_option_that_both_commands_have_is_the_same_option() -> None:
    theirs = {parameter.name: parameter for parameter in transcribe.params}
    shared = [p for p in bench.params if p.name in theirs and isinstance(p, click.Option) and p.name != "verbose"]
    assert {"model", "language", "device", "threads", "beam_size", "batch_size", "compute_type"} <= {
        p.name for p in shared
    }
    assert [p.name for p in shared if theirs[p.name].to_info_dict() != p.to_info_dict()] == []
    assert "bench" in cli.list_commands(click.Context(cli))

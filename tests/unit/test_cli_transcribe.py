"""`autorag-whisper transcribe` with a transcriber that reads its words from the file itself."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.archive.manifest import MANIFEST
from autorag_whisper.domain.errors import EngineError, ExtraNotInstalled, ModelNotFound, ModelUnavailable
from autorag_whisper.domain.request import DEFAULT_TEMPERATURES
from cli_world import BROKEN, World

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """Two talks, one of them in a folder below."""
    folder = tmp_path / "talks"
    (folder / "day 2").mkdir(parents=True)
    (folder / "one.mp3").write_text("good morning")
    (folder / "day 2" / "two.wav").write_text("good night")
    return folder


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_srt_and_json_are_written_beside_the_input(world: World, talks: Path) -> None:
    assert world.run(talks / "one.mp3") == 0
    assert json.loads((talks / "one.json").read_text())["text"] == "good morning"
    assert "good morning" in (talks / "one.srt").read_text()
    assert names_in(talks) == {"one.mp3", "one.srt", "one.json", MANIFEST, "day 2/two.wav"}


def test_a_folders_tree_is_mirrored_in_the_output_folder(world: World, talks: Path, tmp_path: Path) -> None:
    assert world.run(talks, "--output-dir", tmp_path / "out" / "deep", "--format", "txt") == 0
    assert names_in(tmp_path / "out" / "deep") == {"one.txt", "day 2/two.txt", MANIFEST, f"day 2/{MANIFEST}"}
    assert names_in(talks) == {"one.mp3", "day 2/two.wav"}


def test_all_files_of_a_run_share_one_transcriber_and_it_is_closed(world: World, talks: Path) -> None:
    assert world.run(talks) == 0
    assert (len(world.models), world.closed) == (1, 1)
    assert world.transcribed == ["two.wav", "one.mp3"]


def test_every_format_can_be_asked_for_at_once_or_one_by_one(world: World, talks: Path) -> None:
    assert world.run(talks / "one.mp3", "--format", "srt,vtt,ass,txt", "-f", "tsv", "-f", "JSON,words,srt") == 0
    suffixes = {name.removeprefix("one") for name in names_in(talks) if name.startswith("one.")}
    assert suffixes == {".mp3", ".srt", ".vtt", ".ass", ".txt", ".tsv", ".json", ".words.json"}


def test_the_options_reach_the_transcriber(world: World, talks: Path) -> None:
    options = ["--language", "German", "--task", "translate", "--beam-size", "2", "--prompt", "p", "--hotwords", "h"]
    options += ["--quality", "best", "--allowed-languages", "en, German"]
    options += ["--batch-size", "3", "--audio-stream", "1", "--temperature", "0,0.4", "--temperature", "1"]
    options += ["--model", "tiny", "--device", "CUDA:1", "--compute-type", "float32", "--threads", "2"]
    options += ["--engine", "whisperx"]
    assert world.run(talks / "one.mp3", *options) == 0
    [given] = world.options
    assert (given.language, given.task, given.beam_size, given.initial_prompt) == ("de", "translate", 2, "p")
    assert (given.hotwords, given.batch_size, given.audio_stream) == ("h", 3, 1)
    assert (given.quality, given.allowed_languages, given.code_switching) == ("best", ("en", "de"), False)
    assert given.temperatures == (0.0, 0.4, 1.0)
    assert world.models == [("tiny", "cuda:1")]
    assert (world.settings[0].compute_type, world.settings[0].threads) == ("float32", 2)
    assert world.settings[0].engine == "whisperx"


def test_without_options_the_environment_and_the_defaults_decide(world: World, talks: Path) -> None:
    world.environ = {"AUTORAG_WHISPER_COMPUTE_TYPE": "int8", "AUTORAG_WHISPER_THREADS": "7"}
    assert world.run(talks / "one.mp3") == 0
    assert (world.settings[0].compute_type, world.settings[0].threads) == ("int8", 7)
    assert world.models == [("base", "auto")]
    assert world.options[0].temperatures == DEFAULT_TEMPERATURES


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "doc"], "--format cannot be 'doc'"),
        (["--format", "srt,"], "--format cannot be ''"),
        (["--language", "klingon"], "language cannot be 'klingon'"),
        (["--beam-size", "0"], "beam size cannot be 0"),
        (["--temperature", "0,warm"], "--temperature cannot be '0,warm'"),
        (["--temperature", "nan"], "temperature cannot be nan"),
        (["--device", "tpu"], "--device cannot be 'tpu'"),
        (["--threads", "-1"], "--threads"),
        (["--output-dir", ""], "--output-dir is empty"),
        (["--output-dir", "-", "--format", "srt,txt"], "only one format can be printed"),
        (["--no-such-option"], "No such option"),
        (["-"], "standard input"),
    ],
)
def test_bad_usage_is_exit_code_2_and_says_what_is_wrong(
    arguments: list[str], said: str, world: World, talks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run(talks / "one.mp3", *arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert (captured.out, world.transcribed) == ("", [])


def test_bad_settings_are_bad_usage_and_all_are_named(
    world: World, talks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.environ = {"AUTORAG_WHISPER_THREADS": "many", "AUTORAG_WHISPER_COMPUTE_TYPE": "int3"}
    assert world.run(talks) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "AUTORAG_WHISPER_THREADS" in error
    assert "AUTORAG_WHISPER_COMPUTE_TYPE" in error


@pytest.mark.parametrize("arguments", [["nothing.mp3"], [""], ["*.mp3"], ["."], ["nothing.mp3", "."]])
def test_nothing_found_is_bad_usage(
    arguments: list[str],
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert world.run(*arguments) == 2
    assert "nothing to transcribe" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelNotFound("huge", ("base",)), 2),
        (ExtraNotInstalled("whisperX", "whisperx", "No module named 'whisperx'"), 2),
        (ModelUnavailable("base", "downloads are off"), 1),
    ],
)
def test_an_error_of_the_whole_run_is_one_line_and_an_exit_code(
    error: Exception, code: int, world: World, talks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.build_error = error
    assert world.run(talks) == code
    assert capsys.readouterr().err == f"error: {error}\n"


def test_a_bad_file_fails_alone_and_is_listed_with_its_reason(
    world: World, talks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (talks / "bad.ogg").write_bytes(BROKEN)
    (talks / "hollow.wav").write_bytes(b"")
    assert world.run(talks, talks / "gone.mp3") == 1
    assert {"one.srt", "day 2/two.srt"} < names_in(talks)
    end = capsys.readouterr().err.partition("3 of 5 files failed:\n")[2].splitlines()
    assert f"  {talks / 'bad.ogg'}: damaged, no audio could be decoded; get an undamaged copy" in end
    assert f"  {talks / 'gone.mp3'}: no such file or folder" in end
    assert any("hollow.wav: the file holds no bytes" in line for line in end)
    assert len(end) == 3


def test_an_engine_that_is_given_up_ends_the_run_and_what_became_of_the_others_is_told(
    world: World, talks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = EngineError("engine", "recognition", "3 recordings in a row", is_unexpected=True)

    def before(_name: str) -> None:
        if world.transcribed:
            raise error

    world.before_file = before
    assert world.run(talks) == 1
    told = capsys.readouterr().err
    assert "stopped with 1 of 2 files to do; the same command goes on from there" in told
    assert f"error: {error}" in told
    assert len(names_in(talks) & {"one.srt", "day 2/two.srt"}) == 1


def test_a_file_given_twice_is_done_once(
    world: World, talks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(talks)
    monkeypatch.chdir(talks)
    ways = ["one.mp3", "./one.mp3", talks / "one.mp3", tmp_path / "link" / "one.mp3", ".", "*.mp3", "day 2/../one.mp3"]
    assert world.run(*ways) == 0
    assert world.transcribed == ["one.mp3", "two.wav"]


def test_finished_files_are_skipped_and_done_again_by_force(
    world: World, talks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run(talks) == 0
    assert world.run(talks) == 0
    assert sorted(world.transcribed) == ["one.mp3", "two.wav"]
    assert "2 files finished by an earlier run" in capsys.readouterr().err
    assert world.run(talks, "--force") == 0
    assert sorted(world.transcribed) == ["one.mp3", "one.mp3", "two.wav", "two.wav"]


def test_a_run_with_nothing_left_to_do_makes_no_transcriber(world: World, talks: Path) -> None:
    assert world.run(talks) == 0
    world.build_error = AssertionError("not needed")
    assert world.run(talks) == 0


def test_a_shells_pattern_over_inputs_and_our_outputs_names_the_same_run_again(world: World, talks: Path) -> None:
    # `talks/*` of a shell also names one.srt and one.json from the second run on: they are neither media nor a reason
    # to call the outputs one.mp3.srt.
    assert world.run(talks / "one.mp3") == 0
    before = names_in(talks)
    assert world.run(*sorted(path for path in talks.iterdir() if path.is_file())) == 0
    assert world.transcribed == ["one.mp3"]
    assert names_in(talks) == before


@pytest.mark.parametrize(
    "change", [["--language", "de"], ["--model", "tiny"], ["--beam-size", "1"], ["--prompt", "x"], ["--format", "txt"]]
)
def test_another_option_does_a_finished_file_again(change: list[str], world: World, talks: Path) -> None:
    assert world.run(talks / "one.mp3") == 0
    assert world.run(talks / "one.mp3", *change) == 0
    assert world.transcribed == ["one.mp3"] * 2


@pytest.mark.parametrize("change", [["--batch-size", "1"], ["--threads", "1"], ["--format", "srt"], ["--verbose"]])
def test_an_option_that_changes_no_text_does_not(change: list[str], world: World, talks: Path) -> None:
    assert world.run(talks / "one.mp3") == 0
    assert world.run(talks / "one.mp3", *change) == 0
    assert world.transcribed == ["one.mp3"]


def test_formats_added_one_after_the_other_are_all_remembered(world: World, talks: Path) -> None:
    for formats in ("srt", "txt", "srt,txt"):
        assert world.run(talks / "one.mp3", "--format", formats) == 0
    assert world.transcribed == ["one.mp3"] * 2


def test_a_file_that_changes_while_it_is_transcribed_is_done_again(world: World, talks: Path) -> None:
    world.before_file = lambda _name: (talks / "one.mp3").write_text("good afternoon")  # type: ignore[assignment,return-value]  # what it returns is not looked at
    assert world.run(talks / "one.mp3") == 0
    world.before_file = lambda _name: None
    assert world.run(talks / "one.mp3") == 0
    assert world.transcribed == ["one.mp3"] * 2


def test_one_format_can_be_printed_and_nothing_is_written(
    world: World, talks: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    before = names_in(talks)
    assert world.run(talks / "one.mp3", "--format", "txt", "--output-dir", "-") == 0
    assert capsysbinary.readouterr().out == b"good morning\n"
    assert names_in(talks) == before


def test_printed_files_come_in_the_order_of_the_arguments_also_past_a_bad_one(
    world: World, talks: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    (talks / "bad.mp3").write_bytes(BROKEN)
    world.backwards = True
    files = [talks / "one.mp3", talks / "bad.mp3", talks / "day 2" / "two.wav"]
    assert world.run(*files, "--format", "txt", "-o", "-") == 1
    assert capsysbinary.readouterr().out == b"good morning\ngood night\n"


def test_standard_input_is_printed_as_srt_unless_told_otherwise(
    world: World, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hello there")))
    assert world.run("-", "-") == 0
    assert b"-->" in capsysbinary.readouterr().out
    assert names_in(tmp_path) == set()


def test_standard_input_can_go_to_a_folder(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hello there")))
    assert world.run("-", "--output-dir", tmp_path, "--format", "txt") == 0
    assert (tmp_path / "stdin.txt").read_text() == "hello there\n"


def test_an_empty_standard_input_is_a_failed_file(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert world.run("-") == 1
    assert "standard input: the file holds no bytes" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_made_is_found_before_any_work(
    world: World, talks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run(talks, "--output-dir", talks / "one.mp3" / "out") == 2
    assert "cannot be written to" in capsys.readouterr().err
    assert world.settings == []


def test_an_output_folder_that_is_a_file_is_one_line(
    world: World, talks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "out").write_text("a file")
    assert world.run(talks / "one.mp3", "--output-dir", tmp_path / "out") == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'out'} cannot be written to")
    assert caplog.messages == []


def test_an_output_that_is_a_folder_fails_its_file_before_any_work(
    world: World, talks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (talks / "one.json").mkdir()
    assert world.run(talks) == 1
    assert "its output one.json is a folder" in capsys.readouterr().err
    assert world.transcribed == ["two.wav"]


def test_two_folders_in_one_command_may_have_files_of_one_name(world: World, tmp_path: Path) -> None:
    """They were refused before any work."""
    out = tmp_path / "out"
    for folder in ("monday", "tuesday"):
        (tmp_path / folder / "rec").mkdir(parents=True)
        (tmp_path / folder / "rec" / "one.mp3").write_text(f"of {folder}")
        (tmp_path / folder / f"{folder}.mp3").write_text(f"alone on {folder}")
    both = (tmp_path / "monday", tmp_path / "tuesday", "--output-dir", out)
    assert world.run(*both, "-f", "txt") == 0
    assert {path.name for path in out.iterdir()} == {"rec", "monday.txt", "tuesday.txt", ".autorag-whisper.json"}
    assert (out / "rec" / "one~monday-rec.txt").read_text() == "of monday\n"
    assert (out / "rec" / "one~tuesday-rec.txt").read_text() == "of tuesday\n"
    for again in (both, both[::2] + both[3:], (tmp_path / "tuesday", "--output-dir", out)):
        assert world.run(*again, "-f", "txt") == 0
    assert len(world.transcribed) == 4, "what was finished was done again"


def test_a_folder_that_joins_another_one_later_has_its_own_names_and_the_first_stays(
    world: World, tmp_path: Path
) -> None:
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.mp3").write_text(f"of {folder}")
    assert world.run(tmp_path / "monday", "--output-dir", tmp_path / "out", "-f", "txt") == 0
    assert world.run(tmp_path / "monday", tmp_path / "tuesday", "--output-dir", tmp_path / "out", "-f", "txt") == 0
    assert world.transcribed == ["one.mp3", "one.mp3"]
    texts = {path.name: path.read_text() for path in (tmp_path / "out").glob("*.txt")}
    assert texts == {"one.txt": "of monday\n", "one~tuesday.txt": "of tuesday\n"}


def test_no_input_is_ever_overwritten(world: World, tmp_path: Path) -> None:
    audio = tmp_path / "talk.json"
    audio.write_text("not json but speech")
    assert world.run(audio) == 0
    assert audio.read_text() == "not json but speech"
    assert json.loads((tmp_path / "talk.json.json").read_text())["text"] == "not json but speech"


@pytest.mark.parametrize(
    ("stop", "code"), [(lambda: os.kill(os.getpid(), signal.SIGINT), 130), (lambda: signal.raise_signal(15), 143)]
)
def test_what_is_finished_stays_written_when_the_user_stops_the_rest(
    stop: object, code: int, world: World, talks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from autorag_whisper.cli import _terminate
    from autorag_whisper.cli.exits import was_terminated

    assert callable(stop)
    world.before_file = lambda name: stop() if name == "one.mp3" else None
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        assert world.run(talks) == code
    finally:
        signal.signal(signal.SIGTERM, before)
        was_terminated.clear()
    assert (world.transcribed, world.closed) == (["two.wav"], 1)
    assert {"day 2/two.srt", "day 2/two.json"} < names_in(talks)
    assert "stopped with 1 of 2 files to do" in capsys.readouterr().err
    world.before_file = lambda _name: None
    assert world.run(talks) == 0
    assert world.transcribed == ["two.wav", "one.mp3"]


def test_names_that_break_lines_or_are_no_utf8_work_and_stay_on_one_line(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = ["new\nline.wav", os.fsdecode(b"latin1-\xe9.wav"), "--help.wav", "star*?.wav", "[a].wav", "  x  .wav"]
    odd.append(f"{'x' * 251}.wav")
    for name in odd:
        (tmp_path / name).write_text("hello")
    assert world.run(tmp_path) == 0
    assert world.run("--force", *(tmp_path / name for name in odd)) == 0
    assert {f"{name.removesuffix('.wav')}.srt" for name in odd[:-1]} < names_in(tmp_path)
    assert len(world.transcribed) == 2 * len(odd)
    # Each file once in the error stream: 2 runs, a line each, and the closing line of each run.
    assert len(capsys.readouterr().err.splitlines()) == 2 * (len(odd) + 1)


def test_a_file_called_like_an_option_comes_after_two_dashes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "--help.wav").write_text("hello")
    monkeypatch.chdir(tmp_path)
    assert world.run("--", "--help.wav") == 0
    assert world.transcribed == ["--help.wav"]


def full(contents: dict[Path, bytes], **_: object) -> None:
    """What writing is on a full disk, but for the manifest, which is there already."""
    if not all(path.name == MANIFEST for path in contents):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_stops_the_run_at_its_first_file_and_says_what_to_do(
    world: World, talks: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("autorag_whisper.archive.writing.write_together", full)
        assert world.run(talks) == 1
    error = capsys.readouterr().err
    assert world.transcribed == ["two.wav"]
    assert "stopped with 2 of 2 files to do" in error
    assert f"error: {talks / 'day 2'} takes no more files: no space left on device. make room there" in error
    assert world.run(talks) == 0
    assert {"one.srt", "day 2/two.srt"} < names_in(talks)


def test_a_real_disk_that_is_full_stops_the_run_and_leaves_no_halves(world: World, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to make a small disk")
    try:
        for name in ("a", "b", "c"):
            (tmp_path / f"{name}.wav").write_text("hello " * 200)
        assert world.run(*sorted(tmp_path.glob("*.wav")), "-o", disk) == 1
        assert len(world.transcribed) < 3
        assert [path.name for path in disk.iterdir() if path.name.endswith(".tmp")] == []
        subprocess.run(["mount", "-o", "remount,size=2m", disk], check=True)
        assert world.run(*sorted(tmp_path.glob("*.wav")), "-o", disk) == 0
        assert {path.name for path in disk.glob("*.srt")} == {"a.srt", "b.srt", "c.srt"}
    finally:
        subprocess.run(["umount", disk], check=True)


def test_quiet_tells_nothing_but_errors_and_prints_what_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.wav", tmp_path / "bad.wav"
    good.write_text("hello there")
    bad.write_bytes(BROKEN)
    assert World().run("--quiet", "-f", "txt", "-o", "-", good) == 0
    assert capsys.readouterr() == ("hello there\n", "")
    assert World().run("-q", good) == 0
    assert World().run("-q", good) == 0  # skipped, in silence
    assert capsys.readouterr() == ("", "")
    assert World().run("-q", good, bad) == 1
    error = capsys.readouterr().err.splitlines()
    assert error[0].endswith("failed:")
    assert str(bad) in error[1]
    assert len(error) == 2


def test_text_is_shown_on_standard_error_while_it_is_written_to_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk = tmp_path / "talk.wav"
    talk.write_text("hello there")
    assert World().run("--show-text", talk) == 0
    out, error = capsys.readouterr()
    assert out == ""
    assert error.splitlines()[0] == "[00:00.000 --> 00:00.900] hello there"

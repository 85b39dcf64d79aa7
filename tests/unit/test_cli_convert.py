from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from autorag_whisper.archive import manifest
from autorag_whisper.cli.exits import BAD_USAGE, FAILED, KEPT, SUCCESS
from autorag_whisper.format import FORMATS, render
from autorag_whisper.format.options import SubtitleOptions
from cli_world import World, transcript_of

if TYPE_CHECKING:
    from pathlib import Path

TALK = transcript_of("talk.mp3", "We choose to go to the moon. We choose to go.")


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """`talk.json`, as from another machine: no manifest knows it."""
    path = tmp_path / "talk.json"
    path.write_text(render(TALK, "json"), encoding="utf-8")
    return path


def convert(*arguments: str | Path) -> int:
    world = World()
    code = world.command("convert", *arguments)
    assert world.settings == []  # nothing was loaded
    return code


def test_a_result_gives_what_transcribe_would_have_written(result: Path) -> None:
    assert convert(result, "-f", "vtt,srt") == SUCCESS
    assert result.with_suffix(".vtt").read_text() == render(TALK, "vtt")
    assert result.with_suffix(".srt").read_text() == render(TALK, "srt")


def test_all_is_every_format_but_the_file_itself(result: Path, tmp_path: Path) -> None:
    before = result.read_bytes()
    assert convert(result, "-f", "all", "-o", tmp_path / "out") == SUCCESS
    assert {path.name for path in (tmp_path / "out").glob("talk*")} == {f"talk{i.suffix}" for i in FORMATS.values()}
    assert (tmp_path / "out" / "talk.json").read_bytes() == before
    assert convert(result, "-f", "all") == SUCCESS
    assert result.read_bytes() == before
    assert convert(result, "-f", "json") == BAD_USAGE


def test_the_list_of_words_and_another_tools_json_are_converted(tmp_path: Path) -> None:
    words = tmp_path / "talk.words.json"
    words.write_text(render(TALK, "words"))
    other = tmp_path / "other.json"
    word = {"word": " Hallo.", "start": 0.0, "end": 1.0, "probability": 0.5}
    other.write_text(json.dumps({"segments": [{"text": " Hallo.", "words": [word]}], "language": "de"}))
    assert convert(words, other, "-f", "txt") == SUCCESS
    assert (tmp_path / "talk.txt").read_text() == "We choose to go to the moon.\nWe choose to go.\n"
    assert (tmp_path / "other.txt").read_text() == "Hallo.\n"


def test_one_format_is_printed(result: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert convert(result, "-o", "-", "-f", "srt", "--max-words", "2") == SUCCESS
    expected = render(TALK, "srt", SubtitleOptions(max_words=2)).encode()
    assert capsysbinary.readouterr().out == expected
    assert convert(result, "-o", "-", "-f", "srt,vtt") == BAD_USAGE


def test_standard_input_is_printed(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    data = render(TALK, "json").encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert convert("-", "-f", "vtt") == SUCCESS
    assert capsysbinary.readouterr().out == render(TALK, "vtt").encode()


def test_what_it_did_not_write_is_kept_and_named(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = result.with_suffix(".srt")
    mine.write_text("by hand")
    assert convert(result, "-f", "srt,vtt") == KEPT
    assert mine.read_text() == "by hand"
    assert result.with_suffix(".vtt").exists()
    assert "talk.srt (not written by autorag-whisper)" in capsys.readouterr().err


def test_what_it_wrote_is_replaced_until_somebody_changes_it(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = result.with_suffix(".srt")
    assert convert(result) == SUCCESS
    assert convert(result, "--max-words", "1") == SUCCESS
    changed = render(TALK, "srt", SubtitleOptions(max_words=1))
    assert ours.read_text() == changed
    ours.write_text(changed + "corrected")
    assert convert(result) == KEPT
    assert ours.read_text() == changed + "corrected"
    assert "changed since autorag-whisper wrote it" in capsys.readouterr().err


def test_force_replaces_with_a_copy_unless_told_not_to(result: Path) -> None:
    mine = result.with_suffix(".srt")
    mine.write_text("by hand")
    assert convert(result, "--force") == SUCCESS
    assert (mine.read_text(), result.with_name("talk.srt.bak").read_text()) == (render(TALK, "srt"), "by hand")
    mine.write_text("again")
    assert convert(result, "--force", "--no-backup") == SUCCESS
    assert sorted(path.name for path in result.parent.glob("*.bak*")) == ["talk.srt.bak"]


def test_subtitles_of_transcribe_are_replaced_and_finished_in_their_new_layout(tmp_path: Path) -> None:
    media, world = tmp_path / "talk.mp3", World()
    media.write_bytes(b"We choose to go to the moon.")
    assert world.run(media, "-f", "json,srt") == SUCCESS
    assert convert(tmp_path / "talk.json", "-f", "srt,vtt", "--line-length", "12") == SUCCESS
    narrow = (tmp_path / "talk.srt").read_text()
    assert max(len(line) for line in narrow.splitlines() if "-->" not in line) <= 12
    assert world.run(media, "-f", "srt,vtt", "--line-length", "12") == SUCCESS
    assert world.transcribed == ["talk.mp3"]  # once
    assert (tmp_path / "talk.srt").read_text() == narrow


def test_a_namesake_of_another_folder_does_not_replace_the_first(tmp_path: Path) -> None:
    for folder, text in (("a", "first one."), ("b", "second one.")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "talk.json").write_text(render(transcript_of("talk.mp3", text), "json"))
    out = tmp_path / "out"
    assert convert(tmp_path / "a" / "talk.json", tmp_path / "b" / "talk.json", "-f", "txt", "-o", out) == KEPT
    assert (out / "talk.txt").read_text() == "first one.\n"


def test_a_file_that_is_no_result_is_told_and_the_others_are_converted(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"segments": [{"text": "x"}]}')
    assert convert(bad, tmp_path / "missing.json", result) == FAILED
    assert result.with_suffix(".srt").exists()
    said = capsys.readouterr().err
    assert "bad.json: has no words with times; give the JSON that this package writes" in said
    assert "missing.json: no such file or directory" in said


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("noted", [False, True])
def test_who_writes_between_the_look_and_the_writing_loses_nothing(
    noted: bool, force: bool, result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`transcribe` looks at the file once more, `convert` replaced what an editor had saved meanwhile."""
    if noted:
        assert convert(result, "-f", "txt") == SUCCESS
    write, times = manifest.write, iter(range(9))

    def meanwhile(*arguments: Any) -> None:
        write(*arguments)
        if next(times) == 0:
            (result.parent / "editor").write_text("by hand")
            (result.parent / "editor").replace(result.with_suffix(".txt"))

    monkeypatch.setattr(manifest, "write", meanwhile)
    assert convert(result, "-f", "txt", *(["--force"] if force else [])) == (SUCCESS if force else KEPT)
    kept = result.with_suffix(".txt.bak" if force else ".txt")
    assert kept.read_text() == "by hand"
    assert [path.name for path in result.parent.glob("*.bak*")] == (["talk.txt.bak"] if force else [])


def test_what_was_converted_with_another_layout_is_finished_for_that_layout_alone(tmp_path: Path) -> None:
    """`convert --max-words 1` counted as what `transcribe` would have written without it."""
    media, world = tmp_path / "talk.mp3", World()
    media.write_bytes(b"We choose to go to the moon.")
    assert world.run(media, "-f", "json,srt") == SUCCESS
    usual = (tmp_path / "talk.srt").read_text()
    assert convert(tmp_path / "talk.json", "-f", "srt,txt", "--max-words", "1") == SUCCESS
    assert (tmp_path / "talk.srt").read_text() != usual
    assert world.run(media, "-f", "srt", "--max-words", "1") == SUCCESS
    assert len(world.transcribed) == 1, "the same layout is there"
    assert world.run(media, "-f", "txt") == SUCCESS
    assert len(world.transcribed) == 1, "plain text has no layout"
    assert world.run(media, "-f", "srt") == SUCCESS
    assert len(world.transcribed) == 2
    assert (tmp_path / "talk.srt").read_text() == usual


def test_what_was_transcribed_with_a_layout_and_converted_without_is_finished_without(tmp_path: Path) -> None:
    media, world = tmp_path / "talk.mp3", World()
    media.write_bytes(b"We choose to go to the moon.")
    assert world.run(media, "-f", "json,srt", "--max-words", "1") == SUCCESS
    assert convert(tmp_path / "talk.json", "-f", "srt") == SUCCESS
    assert world.run(media, "-f", "srt") == SUCCESS
    assert len(world.transcribed) == 1
    assert world.run(media, "-f", "srt", "--max-words", "1") == SUCCESS
    assert len(world.transcribed) == 2


def test_a_command_line_that_names_no_file_is_bad_usage_as_in_transcribe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`transcribe gone.wav` ended with 2, `convert gone.json` with 1."""
    gone, folder = tmp_path / "gone.json", tmp_path / "folder"
    folder.mkdir()
    for arguments, said in (
        ((gone,), "gone.json: no such file"),
        ((folder, gone), "folder: a folder, of which nothing is taken by itself"),
        (("https://example.org/talk.json",), "fetch it first"),
        (("",), "'': no such file"),
    ):
        assert convert(*arguments) == BAD_USAGE == World().run(*arguments)
        assert "nothing to convert: " in (err := capsys.readouterr().err)
        assert said in err


@pytest.mark.parametrize(
    "wrong",
    [("-f", "docx"), ("--line-length", "2"), ("--min-duration", "9"), ("-l", "klingon"), ("-o", ""), ("--style", "x")],
)
def test_what_makes_no_sense_is_bad_usage(result: Path, wrong: tuple[str, str]) -> None:
    assert convert(result, *wrong) == BAD_USAGE
    assert [path.name for path in result.parent.iterdir()] == ["talk.json"]


def test_transcribe_has_the_same_options_and_other_options_are_another_result(tmp_path: Path) -> None:
    media, world = tmp_path / "talk.mp3", World()
    media.write_bytes(b"We choose to go to the moon.")
    assert world.run(media, "-f", "srt", "--max-words", "1", "--highlight-words", "underline") == SUCCESS
    assert (tmp_path / "talk.srt").read_text().count("<u>") == 7
    assert world.run(media, "-f", "srt", "--max-words", "1", "--highlight-words", "underline") == SUCCESS
    assert len(world.transcribed) == 1
    assert world.run(media, "-f", "all") == SUCCESS
    assert len(world.transcribed) == 2
    assert {path.suffix for path in tmp_path.glob("talk.*")} >= {".srt", ".vtt", ".ass", ".txt", ".tsv", ".json"}
    assert (tmp_path / "talk.srt").read_text().count("<u>") == 0


def test_a_list_of_words_beside_its_whole_result_is_left_out(tmp_path: Path) -> None:
    """A folder's *.json has both; the list does not know the language, and would be converted last."""
    japanese = replace(transcript_of("neko.mp3", "neko"), language="ja")
    (tmp_path / "neko.json").write_text(render(japanese, "json"))
    (tmp_path / "neko.words.json").write_text(render(japanese, "words"))
    assert convert(*sorted(tmp_path.glob("*.json")), "-f", "srt,json", "-o", tmp_path / "out") == SUCCESS
    assert json.loads((tmp_path / "out" / "neko.json").read_text())["language_code"] == "ja"


def test_what_was_printed_counts_as_done(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(result, tmp_path / "missing.json", "-o", "-") == FAILED
    assert "1 of 2 files failed" in capsys.readouterr().err

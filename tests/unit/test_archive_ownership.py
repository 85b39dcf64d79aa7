"""What the command did not write, or what was changed since, it does not write over: told, and in the exit code."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from autorag_whisper.archive import manifest
from autorag_whisper.archive.manifest import MANIFEST, Output
from autorag_whisper.archive.ownership import Ownership, ownership_of
from autorag_whisper.cli.exits import KEPT
from cli_world import World

if TYPE_CHECKING:
    from pathlib import Path

MINE = "1\n00:00:00,000 --> 00:00:01,000\nMADE BY HAND\n"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.mp3"
    path.write_text("good morning")
    return path


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != MANIFEST}


@pytest.mark.parametrize(
    ("found", "noted", "standing"),
    [
        (None, None, Ownership.FREE),
        (None, (Output("a", "1"), False), Ownership.FREE),
        ("1", None, Ownership.FOREIGN),
        ("1", (Output("a", "1"), True), Ownership.OURS),
        ("0", (Output("a", "1", before=("0",)), True), Ownership.OURS),
        ("2", (Output("a", "1", before=("0",)), True), Ownership.CHANGED),
        ("1", (Output("a", "1"), False), Ownership.OTHERS),
        ("2", (Output("a", "1"), False), Ownership.OTHERS),
    ],
)
def test_what_stands_under_a_name(found: str | None, noted: tuple[Output, bool] | None, standing: Ownership) -> None:
    assert ownership_of(found, noted) is standing


def test_a_strangers_subtitles_are_kept_and_the_rest_is_written(
    world: World, talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subtitles = talk.with_suffix(".srt")
    subtitles.write_text(MINE)
    assert world.run(talk) == KEPT
    assert subtitles.read_text() == MINE
    assert json.loads(talk.with_suffix(".json").read_text())["text"] == "good morning"
    assert f"{talk}: talk.srt (not written by autorag-whisper)" in capsys.readouterr().err
    assert world.run(talk) == KEPT
    assert world.transcribed == ["talk.mp3"]
    assert names_in(talk.parent) == {"talk.mp3", "talk.srt", "talk.json"}


def test_a_file_whose_outputs_would_all_be_kept_is_not_worked_on(world: World, talk: Path) -> None:
    for suffix in (".srt", ".json"):
        talk.with_suffix(suffix).write_text(MINE)
    world.build_error = AssertionError("not needed")
    assert world.run(talk) == KEPT
    assert talk.with_suffix(".json").read_text() == MINE


def test_a_correction_by_hand_stays_and_the_file_counts_as_finished(
    world: World, talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run(talk) == 0
    talk.with_suffix(".srt").write_text(MINE)
    assert world.run(talk) == 0
    assert talk.with_suffix(".srt").read_text() == MINE
    assert "talk.srt was changed since and stays as it is" in capsys.readouterr().err
    assert world.transcribed == ["talk.mp3"]


def test_a_correction_by_hand_stays_under_other_options_which_replace_what_was_not_touched(
    world: World, talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run(talk) == 0
    talk.with_suffix(".srt").write_text(MINE)
    world.hear = lambda text, _options: text.upper()  # type: ignore[method-assign] # it is a field
    assert world.run(talk, "--beam-size", "1") == KEPT
    assert talk.with_suffix(".srt").read_text() == MINE
    assert json.loads(talk.with_suffix(".json").read_text())["text"] == "GOOD MORNING"
    assert "talk.srt (changed since autorag-whisper wrote it)" in capsys.readouterr().err


def test_force_replaces_with_a_copy_and_never_a_copy_of_before(
    world: World, talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("first", "second", "third"):
        talk.with_suffix(".srt").write_text(text)
        assert world.run(talk, "--force") == 0
        assert "good morning" in talk.with_suffix(".srt").read_text()
    copies = {path.name: path.read_text() for path in talk.parent.glob("*.bak*")}
    assert copies == {"talk.srt.bak": "first", "talk.srt.bak2": "second", "talk.srt.bak3": "third"}
    assert "the former talk.srt is now talk.srt.bak2" in capsys.readouterr().err


def test_force_makes_no_copy_of_what_is_ours_and_unchanged(world: World, talk: Path) -> None:
    assert world.run(talk) == world.run(talk, "--force") == 0
    assert names_in(talk.parent) == {"talk.mp3", "talk.srt", "talk.json"}


def test_what_was_written_again_with_force_is_finished_whatever_was_written_there_before(
    world: World, talk: Path
) -> None:
    # The digest of the same text stood among those of before, so every later run did the recording again.
    for options in ([], ["--force"], ["--line-length", "32", "--force"], ["--force"], ["--force"]):
        assert world.run(talk, *options) == 0
        done = list(world.transcribed)
        assert world.run(talk, *[one for one in options if one != "--force"]) == 0
        assert world.transcribed == done, options
    noted = json.loads((talk.parent / MANIFEST).read_text())["files"]
    outputs = [output for entry in noted for output in entry["outputs"].values()]
    assert not any(output["sha256"] in output["before"] for output in outputs)
    for output in outputs:  # as versions up to now have noted it
        output["before"] = [output["sha256"], *output["before"]]
    (talk.parent / MANIFEST).write_text(json.dumps({"version": 2, "files": noted}))
    assert world.run(talk) == 0
    assert world.transcribed == done


def test_force_without_a_copy_is_to_be_asked_for(world: World, talk: Path) -> None:
    talk.with_suffix(".srt").write_text(MINE)
    assert world.run(talk, "--force", "--no-backup") == 0
    assert names_in(talk.parent) == {"talk.mp3", "talk.srt", "talk.json"}


def test_a_stranger_that_comes_during_the_work_keeps_its_place_and_the_transcript_has_another(
    world: World, talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.before_file = lambda _name: talk.with_suffix(".srt").write_text(MINE) and None
    assert world.run(talk) == KEPT
    assert talk.with_suffix(".srt").read_text() == MINE
    assert "good morning" in (talk.parent / "talk.new.srt").read_text()
    assert "talk.srt (not written by autorag-whisper; what was written is talk.new.srt)" in capsys.readouterr().err
    world.before_file = lambda _name: None
    assert world.run(talk) == 0
    assert world.transcribed == ["talk.mp3"]


def test_an_edit_during_the_work_is_kept(world: World, talk: Path) -> None:
    assert world.run(talk, "-f", "srt") == 0
    world.before_file = lambda _name: talk.with_suffix(".srt").write_text(MINE) and None
    assert world.run(talk, "-f", "srt", "--beam-size", "1") == KEPT
    assert talk.with_suffix(".srt").read_text() == MINE
    assert names_in(talk.parent) == {"talk.mp3", "talk.srt", "talk.new.srt"}


def test_recordings_of_one_name_from_two_folders_share_an_output_folder(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in ("mon", "tue"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "rec1.wav").write_text(f"it is {day}")
    out = tmp_path / "out"
    for day in ("mon", "tue", "mon", "tue"):
        assert world.run(tmp_path / day, "-o", out, "-f", "txt") == 0
    texts = {path.name: path.read_text() for path in out.glob("*.txt")}
    assert texts == {"rec1.txt": "it is mon\n", "rec1~tue.txt": "it is tue\n"}
    assert len(world.transcribed) == 2
    assert "rec1~tue.txt; what is called rec1 is of another recording or track" in capsys.readouterr().err
    # Other options replace each one's own.
    world.hear = lambda text, _options: text.upper()  # type: ignore[method-assign] # it is a field
    for day in ("tue", "mon"):
        assert world.run(tmp_path / day, "-o", out, "-f", "txt", "--beam-size", "1") == 0
    texts = {path.name: path.read_text() for path in out.glob("*.txt")}
    assert texts == {"rec1.txt": "IT IS MON\n", "rec1~tue.txt": "IT IS TUE\n"}


def test_a_recording_that_was_moved_is_still_finished(world: World, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").write_text("hello")
    assert world.run(tmp_path / "in", "-o", tmp_path / "out") == 0
    (tmp_path / "in").rename(tmp_path / "archive")
    assert world.run(tmp_path / "archive", "-o", tmp_path / "out") == 0
    assert world.transcribed == ["a.wav"]


def test_a_recording_that_was_made_anew_replaces_its_own_unchanged_outputs(world: World, talk: Path) -> None:
    assert world.run(talk, "-f", "txt") == 0
    talk.write_text("good evening")
    assert world.run(talk, "-f", "txt") == 0
    assert talk.with_suffix(".txt").read_text() == "good evening\n"
    assert names_in(talk.parent) == {"talk.mp3", "talk.txt"}


def test_another_audio_track_has_outputs_of_its_own(world: World, talk: Path) -> None:
    world.hear = lambda text, options: f"{text} {options.audio_stream}"  # type: ignore[method-assign] # it is a field
    assert world.run(talk, "-f", "txt") == 0
    assert world.run(talk, "-f", "txt", "--audio-stream", "1") == 0
    assert world.run(talk, "-f", "txt", "--audio-stream", "1") == 0
    texts = {path.name: path.read_text() for path in talk.parent.glob("*.txt")}
    assert texts == {"talk.txt": "good morning None\n", "talk.2.txt": "good morning 1\n"}
    assert len(world.transcribed) == 2
    # The same track under its number is the same: its own output is replaced.
    assert world.run(talk, "-f", "txt", "--audio-stream", "0") == 0
    texts = {path.name: path.read_text() for path in talk.parent.glob("*.txt")}
    assert texts == {"talk.txt": "good morning 0\n", "talk.2.txt": "good morning 1\n"}


def test_a_track_that_was_corrected_does_not_keep_another_from_being_transcribed(world: World, talk: Path) -> None:
    # Which track a language or the default means is known after the work alone.
    assert world.run(talk, "-f", "txt") == 0
    talk.with_suffix(".txt").write_text(MINE)
    world.track = 1
    assert world.run(talk, "-f", "txt", "--audio-stream", "ger") == 0
    assert talk.with_suffix(".txt").read_text() == MINE
    assert (talk.parent / "talk.2.txt").read_text() == "good morning\n"
    assert world.run(talk, "-f", "txt", "--name-with", "stream") == 0
    assert world.run(talk, "-f", "txt", "--name-with", "stream", "--audio-stream", "2") == 0
    assert names_in(talk.parent) == {"talk.mp3", "talk.txt", "talk.2.txt", "talk.3.txt"}


def test_track_and_language_can_be_in_the_name(world: World, talk: Path) -> None:
    world.language = "de"
    assert world.run(talk, "--name-with", "language") == 0
    assert world.run(talk, "--name-with", "language", "--task", "translate", "-f", "srt") == 0
    assert names_in(talk.parent) == {"talk.mp3", "talk.de.srt", "talk.de.json", "talk.en.srt"}
    assert world.run(talk, "--name-with", "language") == 0
    assert world.run(talk, "--name-with", "language", "--task", "translate", "-f", "srt") == 0
    assert len(world.transcribed) == 2
    assert world.run(talk, "--name-with", "stream,language", "--audio-stream", "1", "-f", "vtt") == 0
    assert "talk.2.de.vtt" in names_in(talk.parent)


def test_a_name_can_be_made_with_nothing_else(world: World, talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run(talk, "--name-with", "date") == 2
    assert "--name-with cannot be 'date'" in capsys.readouterr().err


def test_a_language_in_the_name_that_is_known_before_is_looked_at_before(world: World, talk: Path) -> None:
    (talk.parent / "talk.de.srt").write_text(MINE)
    assert world.run(talk, "--name-with", "language", "-f", "srt", "-l", "de") == KEPT
    assert world.transcribed == []
    world.language = "de"
    assert world.run(talk, "--name-with", "language", "-f", "srt") == KEPT
    assert (talk.parent / "talk.de.srt").read_text() == MINE
    assert "good morning" in (talk.parent / "talk.new.de.srt").read_text()


@pytest.mark.parametrize("change", [["--device", "cpu"], ["--compute-type", "float32"], ["--threads", "1"]])
def test_another_device_or_version_redoes_nothing(
    change: list[str], world: World, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.run(talk) == 0
    monkeypatch.setattr("autorag_whisper.__version__", "9.9.9")
    assert world.run(talk, *change) == 0
    assert world.transcribed == ["talk.mp3"]


def test_without_a_manifest_that_can_be_read_nothing_is_written_over(
    world: World, talk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert world.run(talk) == 0
    before = talk.with_suffix(".srt").read_bytes()
    (talk.parent / MANIFEST).write_text('{"version": 99}')
    world.hear = lambda text, _options: text.upper()  # type: ignore[method-assign] # it is a field
    assert world.run(talk, "--beam-size", "1") == KEPT
    assert talk.with_suffix(".srt").read_bytes() == before
    assert "newer version" in caplog.text
    assert (talk.parent / MANIFEST).read_text() == '{"version": 99}'


def test_a_link_is_somebodys_arrangement_and_is_kept(world: World, talk: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "real.srt").write_text(MINE)
    talk.with_suffix(".srt").symlink_to(tmp_path / "elsewhere" / "real.srt")
    talk.with_suffix(".json").symlink_to(tmp_path / "nowhere.json")
    assert world.run(talk) == KEPT
    assert world.run(talk, "--force") == 0
    assert (tmp_path / "elsewhere" / "real.srt").read_text() == MINE
    assert {"talk.srt.bak", "talk.json.bak"} < names_in(tmp_path)
    assert (tmp_path / "talk.srt.bak").is_symlink()
    assert not (tmp_path / "nowhere.json").exists()


def test_two_texts_through_standard_input_do_not_replace_each_other(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("one", "two", "one"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert world.run("-", "-o", tmp_path, "-f", "txt") == 0
    assert sorted(path.read_text() for path in tmp_path.glob("*.txt")) == ["one\n", "two\n"]


def test_who_is_killed_between_the_note_and_the_files_leaves_no_strangers_files(
    world: World, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As after kill -9: the note is there, and of the files the first alone has its new content.
    assert world.run(talk) == 0
    world.hear = lambda text, _options: text.upper()  # type: ignore[method-assign] # it is a field
    old = talk.with_suffix(".json").read_bytes()
    assert world.run(talk, "--beam-size", "1") == 0
    new = talk.with_suffix(".json").read_bytes()
    assert old != new
    talk.with_suffix(".json").write_bytes(old)
    assert world.run(talk, "--beam-size", "1") == 0
    assert talk.with_suffix(".json").read_bytes() == new


def test_a_name_of_the_longest_length_can_be_kept_and_copied(world: World, tmp_path: Path) -> None:
    talk = tmp_path / f"{'x' * 251}.mp3"
    talk.write_text("hello")
    assert world.run(talk, "-f", "words") == 0
    [output] = tmp_path.glob("*.words.json")
    output.write_text(MINE)
    assert len(os.fsencode(output.name)) > 250
    assert world.run(talk, "-f", "words", "--force") == 0
    assert [path.read_text() for path in tmp_path.glob("*.bak")] == [MINE]


@pytest.mark.parametrize("noted", [False, True])
@pytest.mark.parametrize("force", [False, True])
def test_who_writes_in_the_millisecond_between_the_look_and_the_writing_loses_nothing(
    noted: bool, force: bool, world: World, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if noted:
        assert world.run(talk, "-f", "txt") == 0
    write, times = manifest.write, iter(range(9))

    def meanwhile(*arguments: Any) -> None:
        write(*arguments)
        if next(times) == 0:  # after the look: an editor saves, as editors do, by a file of its own
            (talk.parent / "editor").write_text(MINE)
            (talk.parent / "editor").replace(talk.with_suffix(".txt"))

    monkeypatch.setattr(manifest, "write", meanwhile)
    options = ["--beam-size", "1", *(["--force"] if force else [])]
    assert world.run(talk, "-f", "txt", *options) == (0 if force else KEPT)
    kept, text = ("talk.txt.bak", "talk.txt") if force else ("talk.txt", "talk.new.txt")
    assert (talk.parent / kept).read_text() == MINE
    assert (talk.parent / text).read_text() == "good morning\n"


def test_what_is_looked_at_again_is_copied_once(world: World, talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one output was changed by somebody, the other was set aside a second time."""
    assert world.run(talk, "-f", "vtt") == 0
    talk.with_suffix(".txt").write_text(MINE)
    write, times = manifest.write, iter(range(9))

    def meanwhile(*arguments: Any) -> None:
        write(*arguments)
        if next(times) == 0:
            talk.with_suffix(".vtt").unlink()
            talk.with_suffix(".vtt").write_text("an editor's")

    monkeypatch.setattr(manifest, "write", meanwhile)
    assert world.run(talk, "-f", "txt,vtt", "--force") == 0
    copies = {path.name: path.read_text() for path in talk.parent.glob("talk.*.bak*")}
    assert copies == {"talk.txt.bak": MINE, "talk.vtt.bak": "an editor's"}


def test_two_scripts_of_chinese_have_two_names(world: World, talk: Path) -> None:
    for language in ("zh-Hans", "zh-Hant", "zh", "zh-Hans"):
        assert world.run(talk, "--name-with", "language", "-f", "srt", "-l", language) == 0
    assert names_in(talk.parent) == {"talk.mp3", "talk.zh-Hans.srt", "talk.zh-Hant.srt", "talk.zh.srt"}
    assert len(world.transcribed) == 3


def test_clips_have_outputs_of_their_own_and_leave_those_of_the_whole(world: World, talk: Path) -> None:
    assert world.run(talk) == 0
    whole = talk.with_suffix(".json").read_text()
    assert world.run(talk, "--clip", "1:30-2:45.5,1:02:03-") == 0
    assert talk.with_suffix(".json").read_text() == whole
    assert {"talk.1m30s-2m45s500+1h02m03s-end.srt", "talk.srt"} <= names_in(talk.parent)
    world.build_error = AssertionError("both are finished")
    assert world.run(talk) == world.run(talk, "--clip", "1:30-2:45.5,1:02:03-") == 0


def test_recordings_of_one_stem_never_replace_each_others_outputs(world: World, tmp_path: Path) -> None:
    for suffix in ("mp3", "wav", "m4a", "ogg", "flac"):
        (tmp_path / f"talk.{suffix}").write_text(f"the {suffix}")
        assert world.run(tmp_path / f"talk.{suffix}", "-f", "txt") == 0
    texts = sorted(path.read_text() for path in tmp_path.glob("*.txt"))
    assert texts == ["the flac\n", "the m4a\n", "the mp3\n", "the ogg\n", "the wav\n"]


def test_a_folder_of_outputs_that_cannot_be_looked_at_fails_with_its_reason(
    world: World, talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that is too long is refused to root, too."""
    assert world.run(talk, "-o", talk.parent / ("a" * 300)) not in (0, KEPT)
    assert "file name too long" in capsys.readouterr().err
    assert world.transcribed == []


def test_another_run_at_work_on_a_namesake_does_not_keep_a_recording_from_being_transcribed(
    world: World, tmp_path: Path
) -> None:
    for day in ("mon", "tue"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "rec1.wav").write_text(f"it is {day}")
    out, codes = tmp_path / "out", list[int]()
    other = World(environ={"AUTORAG_WHISPER_CACHE_DIR": world.cache.name})

    def run_the_others(_name: str) -> None:
        codes.append(other.run(tmp_path / "tue" / "rec1.wav", "-o", out, "-f", "txt"))
        codes.append(other.run(tmp_path / "mon" / "rec1.wav", "-o", out, "-f", "txt"))

    world.before_file = run_the_others
    assert world.run(tmp_path / "mon" / "rec1.wav", "-o", out, "-f", "txt") == 0
    assert codes == [0, KEPT]  # of the same recording the first run has the claim
    assert sorted(path.read_text() for path in out.glob("*.txt")) == ["it is mon\n", "it is tue\n"]

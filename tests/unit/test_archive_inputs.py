"""Files, folders and patterns as a list of inputs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from autorag_whisper.archive.inputs import OTHER_SUFFIXES, Found, find
from autorag_whisper.audio.allowlist import SUFFIXES, TABLE


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(found: Found) -> list[str]:
    return [item.shown for item in found.inputs]


def test_a_folder_gives_the_media_below_it_sorted_and_nothing_else(folder: Path) -> None:
    make(folder, "t/b.MP3", "t/a.wav", "t/notes.txt", "t/a.srt", "t/a.json", "t/sub/c.mkv", "t/noending")
    make(folder, "t/.hidden.wav", "t/.git/d.wav")
    found = find(["t"])
    assert names(found) == ["t/a.wav", "t/b.MP3", "t/sub/c.mkv"]
    assert [str(item.below) for item in found.inputs] == [".", ".", "sub"]
    assert found.problems == ()
    assert found.notes == ("4 files left out, no media: a.json, a.srt, noending, notes.txt",)


def test_a_hidden_folder_or_file_that_is_named_is_taken(folder: Path) -> None:
    make(folder, ".voice/a.wav", ".b.wav")
    assert names(find([".voice", ".b.wav"])) == [".voice/a.wav", ".b.wav"]


def test_a_named_file_needs_no_ending_of_media(folder: Path) -> None:
    make(folder, "recording")
    assert names(find(["recording"])) == ["recording"]


def test_links_in_circles_end_and_every_file_comes_once_under_its_own_name(folder: Path) -> None:
    make(folder, "t/sub/a.wav")
    (folder / "t" / "again").symlink_to(folder / "t", target_is_directory=True)
    (folder / "t" / "sub" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "t" / "about").symlink_to(folder / "t" / "sub", target_is_directory=True)
    assert names(find(["t"])) == ["t/sub/a.wav"]
    assert names(find(["**/*.wav"])) == ["t/sub/a.wav"]


def test_a_linked_folder_from_elsewhere_is_followed(folder: Path) -> None:
    make(folder, "elsewhere/a.wav", "t/b.wav")
    (folder / "t" / "link").symlink_to(folder / "elsewhere", target_is_directory=True)
    assert names(find(["t"])) == ["t/b.wav", "t/link/a.wav"]


def test_links_to_a_file_are_names_of_their_own(folder: Path) -> None:
    make(folder, "a.wav")
    (folder / "b.wav").symlink_to("a.wav")
    assert names(find(["."])) == ["a.wav", "b.wav"]


def test_what_cannot_be_read_is_left_to_opening_which_says_why(folder: Path) -> None:
    (folder / "dangling.wav").symlink_to("nowhere.wav")
    (folder / "self.wav").symlink_to("self.wav")
    os.mkfifo(folder / "fifo.wav")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.wav")
    assert names(find(["."])) == ["dangling.wav", "fifo.wav", "self.wav", "socket.wav"]
    assert names(find(["self.wav", "dangling.wav"])) == ["self.wav", "dangling.wav"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.wav", ["a.wav"]),
        ("*", ["a.wav", "b.mp3", "sub/c.wav", "sub/deep/d.wav"]),
        ("[ab].*", ["a.wav", "b.mp3"]),
        ("sub/?.wav", ["sub/c.wav"]),
        ("**/*.wav", ["a.wav", "sub/c.wav", "sub/deep/d.wav"]),
        ("**/deep/*.wav", ["sub/deep/d.wav"]),
        ("s*/deep", ["sub/deep/d.wav"]),
        ("*.txt", ["notes.txt"]),
        ("s*/../a.wav", ["sub/../a.wav"]),
        ("**", ["a.wav", "b.mp3", "sub/c.wav", "sub/deep/d.wav"]),
        (".*.wav", [".e.wav"]),
    ],
)
def test_a_pattern_is_expanded(folder: Path, pattern: str, expected: list[str]) -> None:
    make(folder, "a.wav", "b.mp3", "notes.txt", "sub/c.wav", "sub/deep/d.wav", ".e.wav")
    assert names(find([pattern])) == expected
    assert names(find([f"{folder}/{pattern}"])) == [f"{folder}/{name}" for name in expected]


def test_a_pattern_mirrors_the_tree_below_its_fixed_part(folder: Path) -> None:
    make(folder, "t/day1/a.wav", "t/day2/a.wav", "t/day2/x/b.wav")
    for pattern in ("t/*/*.wav", "t/day*", "t/**"):
        below = {item.shown: str(item.below) for item in find([pattern]).inputs}
        assert below.items() >= {("t/day1/a.wav", "day1"), ("t/day2/a.wav", "day2")}


@pytest.mark.parametrize("name", ["star*?.wav", "[brackets] {braces}.wav", "[a].wav", "**"])
def test_a_file_whose_name_looks_like_a_pattern_wins(folder: Path, name: str) -> None:
    make(folder, name, "starry.wav", "a.wav")
    assert names(find([name])) == [name]


def test_what_is_not_there_is_a_problem_and_the_rest_is_found(folder: Path) -> None:
    make(folder, "a.wav")
    found = find(["gone.wav", "a.wav", "*.ogg", "", "a.wav/b.wav", "x" * 5000, "nul\0.wav"])
    assert names(found) == ["a.wav"]
    assert [problem.shown for problem in found.problems] == [
        "gone.wav", "*.ogg", "''", "a.wav/b.wav", "x" * 5000, "nul\0.wav",
    ]  # fmt: skip


def test_a_folder_without_media_is_a_note(folder: Path) -> None:
    make(folder, "t/notes.txt")
    found = find(["t"])
    assert (found.inputs, found.problems) == ((), ())
    assert found.notes == ("t: no media files in it", "1 file left out, no media: notes.txt")


def test_a_file_whose_ending_says_nothing_is_asked_for_its_content(folder: Path) -> None:
    make(folder, "t/voice", "t/call.001", "t/.hidden", "t/notes.pdf", "t/a.wav", "t/ours.srt", "t/data.xyz")
    asked: list[str] = []

    def holds_audio(path: Path) -> bool:
        asked.append(path.name)
        return path.name in ("voice", "call.001")

    found = find(["t", "t/*"], lambda path: path.name == "ours.srt", holds_audio)
    assert names(found) == ["t/a.wav", "t/call.001", "t/voice"]
    assert set(asked) == {"voice", "call.001", "data.xyz"}
    assert found.notes == ("2 files left out, no media: data.xyz, notes.pdf",)


def test_of_many_files_that_are_left_out_some_are_named(folder: Path) -> None:
    make(folder, "t/a.wav", *(f"t/{n}.jpg" for n in range(9)))
    assert find(["t"]).notes == ("9 files left out, no media: 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 4 more",)


def test_a_pattern_with_an_ending_means_that_ending_alone(folder: Path) -> None:
    make(folder, "a.txt", "b.dat")
    assert names(find(["*.txt"])) == ["a.txt"]


def test_no_ending_is_both_media_and_not() -> None:
    assert SUFFIXES.isdisjoint(OTHER_SUFFIXES)


def test_a_folder_that_cannot_be_listed_is_a_problem_and_its_neighbours_are_found(folder: Path) -> None:
    # A path longer than the system takes: the one refusal that also root meets.
    make(folder, "t/a.wav")
    here = os.open(folder / "t", os.O_RDONLY)
    for _ in range(40):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    found = find(["t"])
    assert names(found) == ["t/a.wav"]
    assert [problem.reason for problem in found.problems] == ["file name too long"]


def test_our_own_outputs_are_left_alone_wherever_they_are_named(folder: Path) -> None:
    make(folder, "a.wav", "a.ogg", "b.srt")
    ours = {"a.ogg", "b.srt"}
    found = find(["b.srt", ".", "a.ogg", "*.ogg"], lambda path: path.name in ours)
    assert names(found) == ["a.wav"]


def test_standard_input_is_one_input_and_a_file_called_so_another(folder: Path) -> None:
    make(folder, "-")
    found = find(["-", "./-", "-"])
    assert [(item.path is None, item.name) for item in found.inputs] == [(True, "stdin"), (False, "-")]


def test_a_folder_gives_every_file_whose_ending_the_table_of_formats_names(folder: Path) -> None:
    endings = [suffix for one in TABLE for suffix in one.in_folders]
    others = [suffix for one in TABLE for suffix in one.suffixes if suffix not in endings]
    make(folder, *(f"a{suffix}" for suffix in (*endings, *others)))
    assert {Path(name).name for name in names(find([str(folder)]))} == {f"a{suffix}" for suffix in endings}
    assert [one.name for one in TABLE if not one.suffixes] == ["hxvs", "s337m"]  # found in other files, or by content

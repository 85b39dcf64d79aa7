"""A watched folder over jobs in memory and a transcriber of fakes: what is taken, when, and what comes of it."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from autorag_whisper.archive.request import BatchRequest
from autorag_whisper.domain.archive_errors import OutputFolderUnwritable, WatchedFolderMissing
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.format import render
from autorag_whisper.jobs.job import Job, JobState
from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.server.keys import client_id, digest, key_of
from autorag_whisper.server.watched import Desk, WatchedFolder, being_written, failure_note, watching
from autorag_whisper.testing import speech_samples, write_speech
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = "one two three"


class Watched:
    """A folder `in`, watched; `work` does all jobs that are queued."""

    def __init__(self, place: Path, world: World, **request: Any) -> None:
        self.folder, self._world = place / "in", world
        self.folder.mkdir(exist_ok=True)
        self.store, self._results, self._request = (
            MemoryJobStore(),
            dict[str, str](),
            BatchRequest(request.pop("formats", ("srt", "json")), **request),
        )
        self.start()

    def start(self) -> None:
        """As after a start of the server: nothing is remembered but what the store and the disk have."""
        desk = Desk(self.store, lambda: None, lambda job: self._results[job.id], lambda: 0.0)
        self.watched = WatchedFolder(self.folder, desk, self._request, {"language": "en"})

    def look(self, times: int = 2) -> None:
        for _ in range(times):
            self.watched.look()

    def put(self, name: str, words: int = 3) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_speech(path, speech_samples(words))

    @property
    def jobs(self) -> list[Job]:
        return self.store.newest()[::-1]

    def work(self, error: str = "") -> None:
        while (claim := self.store.claim(30.0, 1.0)) is not None:
            if error:
                self.store.fail(claim, json.dumps({"message": error, "code": "failed"}), 2.0)
            else:
                transcript = self._world.transcriber.transcribe(claim.job.request.path)
                self._results[claim.job.id] = render(transcript, "json")
                self.store.finish(claim, 2.0)

    def all(self) -> None:
        self.look()
        self.work()
        self.look(1)

    def names(self, folder: Path | None = None) -> set[str]:
        top = folder or self.folder
        return {str(path.relative_to(top)) for path in top.rglob("*") if not path.name.startswith(".")}


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    with world.transcriber:
        yield world


@pytest.fixture
def watched(world: World, tmp_path: Path) -> Watched:
    return Watched(tmp_path, world)


def test_a_recording_becomes_a_job_and_its_outputs_stand_beside_it(watched: Watched) -> None:
    path = watched.put("talk.wav")
    watched.look()
    (job,) = watched.jobs
    assert (job.request.path, job.request.name, job.request.options) == (str(path), "talk.wav", {"language": "en"})
    watched.work()
    watched.look(1)
    assert watched.names() == {"talk.wav", "talk.srt", "talk.json"}
    assert json.loads((watched.folder / "talk.json").read_text())["text"] == TEXT
    watched.look(3)
    assert len(watched.jobs) == 1


def test_a_file_is_taken_when_it_has_stayed_as_it_is_from_one_look_to_the_next(watched: Watched) -> None:
    path = watched.put("talk.wav")
    whole = path.read_bytes()
    for length in (0, 0, 100, 2000, len(whole)):  # an empty one stays as it is too
        path.write_bytes(whole[:length])
        watched.look(1)
    assert watched.jobs == []
    os.utime(path, ns=(1, 1))  # the same size, written again
    watched.look(1)
    assert watched.jobs == []
    watched.look(1)
    assert len(watched.jobs) == 1


@pytest.mark.skipif(not hasattr(os, "O_NONBLOCK") or os.uname().sysname != "Linux", reason="the system tells on Linux")
def test_a_file_that_somebody_has_open_for_writing_is_not_taken_however_long_it_rests(watched: Watched) -> None:
    path = watched.put("talk.wav")
    with path.open("ab") as file:
        watched.look(5)
        assert watched.jobs == []
        file.write(b"\0")
    assert not being_written(path)
    with path.open("rb"):
        assert not being_written(path)
    watched.look(2)
    assert len(watched.jobs) == 1


LEFT_ALONE = (
    ".talk.wav", "talk.wav.part", "talk.wav.crdownload", "talk.wav.filepart", "talk.tmp", "talk.opdownload", "talk.txt",
    ".hidden/talk.wav", "@eaDir/talk.wav", "#recycle/talk.wav", "$RECYCLE.BIN/talk.wav", "talk", "talk.wav~",
)  # fmt: skip


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_is_hidden_unfinished_or_no_media_is_left_alone(watched: Watched, name: str) -> None:
    path = watched.put("whole.wav")
    target = watched.folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)
    watched.look(4)
    assert watched.jobs == []


def test_links_and_pipes_are_left_alone_and_nothing_outside_is_read(watched: Watched, tmp_path: Path) -> None:
    outside = write_speech(tmp_path / "private.wav", speech_samples(1))
    (tmp_path / "folder").mkdir()
    write_speech(tmp_path / "folder" / "other.wav", speech_samples(1))
    (watched.folder / "link.wav").symlink_to(outside)
    (watched.folder / "broken.wav").symlink_to("nowhere")
    (watched.folder / "linked").symlink_to(tmp_path / "folder")
    (watched.folder / "round").symlink_to(watched.folder)
    os.mkfifo(watched.folder / "pipe.wav")
    own = watched.put("own.wav")
    watched.look(3)
    assert [job.request.path for job in watched.jobs] == [str(own)]


def test_a_folder_that_is_named_by_a_link_is_watched_where_it_is(world: World, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "in").symlink_to("real")
    watched = Watched(tmp_path, world)
    watched.put("monday/talk.wav")
    watched.all()
    assert [job.request.path for job in watched.jobs] == [str(tmp_path.resolve() / "real" / "monday" / "talk.wav")]
    assert (tmp_path / "real" / "monday" / "talk.srt").exists()


def test_a_name_with_everything_in_it_is_taken_as_any_other(watched: Watched) -> None:
    names = ["a b*[1].wav", "-rf.wav", "ünï\u0301.wav", "x" * 240 + ".wav", "new\nline.wav"]
    for name in names:
        watched.put(name)
    watched.all()
    assert {job.request.name for job in watched.jobs} == set(names)
    assert {job.state for job in watched.jobs} == {JobState.DONE}
    assert len(watched.names()) == 3 * len(names)


def test_outputs_go_into_the_output_folder_in_the_same_tree(world: World, tmp_path: Path) -> None:
    watched = Watched(tmp_path, world, output_dir=tmp_path / "out")
    watched.put("talk.wav")
    watched.put("monday/talk.wav")
    watched.all()
    assert watched.names() == {"talk.wav", "monday", "monday/talk.wav"}
    assert watched.names(tmp_path / "out") == {
        "talk.srt", "talk.json", "monday", "monday/talk.srt", "monday/talk.json",
    }  # fmt: skip


def test_nothing_of_a_users_is_overwritten(watched: Watched) -> None:
    watched.put("talk.wav")
    (watched.folder / "talk.srt").write_text("mine")
    watched.all()
    assert (watched.folder / "talk.srt").read_text() == "mine"
    assert (watched.folder / "talk.json").exists()


def test_two_recordings_of_one_stem_have_outputs_of_their_own_in_whatever_order_they_come(watched: Watched) -> None:
    watched.put("talk.wav", 2)
    watched.all()
    watched.put("talk.mp3", 4)
    watched.all()
    texts = {name: (watched.folder / name).read_text() for name in watched.names() if name.endswith(".json")}
    assert sorted(json.loads(text)["text"] for text in texts.values()) == ["one two", "one two three four"]
    assert json.loads(texts["talk.json"])["text"] == "one two"
    watched.look(3)
    assert len(watched.jobs) == 2


def test_a_restart_at_any_moment_does_nothing_twice(watched: Watched) -> None:
    watched.put("talk.wav")
    for step in (watched.look, watched.look, watched.work, watched.look, watched.look):
        watched.start()
        step()
    assert len(watched.jobs) == 1
    assert watched.names() == {"talk.wav", "talk.srt", "talk.json"}
    stamps = {path: path.stat().st_mtime_ns for path in watched.folder.iterdir()}
    watched.start()
    watched.look(4)
    assert len(watched.jobs) == 1
    assert {path: path.stat().st_mtime_ns for path in watched.folder.iterdir()} == stamps


def test_what_an_earlier_run_of_the_command_has_finished_is_not_done_again(watched: Watched) -> None:
    watched.put("talk.wav")
    watched.all()
    other = Watched(watched.folder.parent, watched._world)  # another store: it knows of no job
    other.look(3)
    assert other.jobs == []


def test_a_file_that_is_replaced_is_done_anew_and_the_old_result_is_never_its(watched: Watched) -> None:
    watched.put("talk.wav", 3)
    watched.look()
    watched.work()
    watched.put("talk.wav", 5)  # while its job was at work
    watched.look(1)
    assert watched.names() == {"talk.wav"}
    watched.all()
    assert json.loads((watched.folder / "talk.json").read_text())["text"] == "one two three four five"
    assert len(watched.jobs) == 2
    watched.put("talk.wav", 1)  # and after it was done
    watched.all()
    assert json.loads((watched.folder / "talk.json").read_text())["text"] == "one"


def test_what_fails_is_told_beside_the_file_until_it_is_done(watched: Watched) -> None:
    note = watched.folder / "talk.wav.failed.txt"
    watched.put("talk.wav")
    watched.look()
    watched.work("no audio could be decoded")
    watched.look(2)
    assert "no audio could be decoded" in note.read_text()
    assert watched.jobs[0].id in note.read_text()
    watched.start()
    watched.look(3)
    assert len(watched.jobs) == 1
    watched.store.retry(watched.jobs[0].id, 1.0)
    watched.work()
    watched.look(1)
    assert watched.names() == {"talk.wav", "talk.srt", "talk.json"}


def test_a_note_that_somebody_has_changed_is_his(watched: Watched) -> None:
    note = watched.folder / "talk.wav.failed.txt"
    watched.put("talk.wav")
    note.write_text("call Anna about this\n")
    watched.look()
    watched.work("no")
    watched.look(2)
    assert note.read_text() == "call Anna about this\n"
    note.write_text(failure_note("no", "1").replace("no\n", "no, ask Anna\n"))
    watched.store.retry(watched.jobs[0].id, 1.0)
    watched.work()
    watched.look(1)
    assert "ask Anna" in note.read_text()
    assert (watched.folder / "talk.srt").exists()


def test_a_cancelled_job_stays_cancelled(watched: Watched) -> None:
    watched.put("talk.wav")
    watched.look()
    watched.store.cancel(watched.jobs[0].id, 1.0)
    watched.look(3)
    assert [job.state for job in watched.jobs] == [JobState.CANCELLED]
    assert watched.names() == {"talk.wav"}


def test_a_folder_that_is_gone_for_a_while_is_looked_at_again(watched: Watched, tmp_path: Path) -> None:
    watched.put("talk.wav")
    watched.folder.rename(tmp_path / "away")
    watched.look(2)
    (tmp_path / "away").rename(watched.folder)
    watched.all()
    assert watched.names() == {"talk.wav", "talk.srt", "talk.json"}


def test_outputs_that_cannot_be_written_are_written_when_they_can(world: World, tmp_path: Path) -> None:
    watched = Watched(tmp_path, world, output_dir=tmp_path / "out")
    watched.put("monday/talk.wav")
    watched.look()
    watched.work()
    (tmp_path / "out" / "monday").write_text("in the way")
    watched.look(2)
    (tmp_path / "out" / "monday").unlink()
    watched.look(1)
    assert (tmp_path / "out" / "monday" / "talk.srt").exists()


def test_a_folder_that_is_not_there_or_cannot_be_written_is_told_at_the_start(world: World, tmp_path: Path) -> None:
    desk = Desk(MemoryJobStore(), lambda: None, lambda _: "", lambda: 0.0)
    with pytest.raises(WatchedFolderMissing, match="nowhere"):
        WatchedFolder(tmp_path / "nowhere", desk, BatchRequest(("srt",)), {})
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFolderUnwritable):
        WatchedFolder(tmp_path, desk, BatchRequest(("srt",), tmp_path / "file"), {})


def test_its_jobs_are_those_of_the_key_that_is_named(world: World, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("sk-1 # anna\nsk-2 # ben\nsk-3 # ben\n", encoding="utf-8")
    anna, store = key_of("anna", str(tmp_path / "keys")), MemoryJobStore()
    desk = Desk(store, lambda: None, lambda _: "", lambda: 0.0, anna)
    (tmp_path / "in").mkdir()
    folder = WatchedFolder(tmp_path / "in", desk, BatchRequest(("srt",)), {})
    write_speech(tmp_path / "in" / "talk.wav", speech_samples(1))
    folder.look()
    folder.look()
    assert [job.request.name for job in store.newest(client_id(digest("sk-1")))] == ["talk.wav"]
    assert store.newest("") == store.newest(client_id(digest("sk-2"))) == []
    assert key_of("", "") == ""
    for name in ("nobody", "ben"):
        with pytest.raises(InvalidOption, match="watch-key"):
            key_of(name, str(tmp_path / "keys"))


def test_it_is_looked_at_by_itself_and_a_fault_of_one_look_ends_nothing(watched: Watched) -> None:
    looks, enough = list[int](), threading.Event()

    class Faulty(WatchedFolder):
        def look(self) -> None:
            looks.append(1)
            if len(looks) == 1:
                raise RuntimeError("the store is gone")
            if len(looks) > 2:
                enough.set()

    desk = Desk(watched.store, lambda: None, lambda _: "", lambda: 0.0)
    with watching(Faulty(watched.folder, desk, BatchRequest(("srt",)), {}), every_s=0.001):
        assert enough.wait(60)
    assert not any(thread.name == "autorag-whisper-watch" for thread in threading.enumerate())

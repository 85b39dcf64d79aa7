"""A batch over folders as a caller without a command line has it: find, plan, prepare, one file after the other."""

from __future__ import annotations

import errno
import io
import json
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.archive import (
    Batch,
    BatchRequest,
    ConversionRequest,
    Input,
    JsonFile,
    NotDone,
    Plan,
    Planner,
    UpdateKind,
    convert,
    find_results,
    open_sources,
)
from autorag_whisper.archive.manifest import MANIFEST
from autorag_whisper.audio.source import spool
from autorag_whisper.domain.archive_errors import (
    DiskFull,
    NothingFound,
    OutputFolderUnwritable,
    OutputIsInput,
    OutputsMeet,
    OutputsUnwritable,
)
from autorag_whisper.domain.audio import SpeechChunk, SpeechSpan
from autorag_whisper.domain.errors import EngineError, InvalidOption, MediaDamaged, RequestError, UnavailableError
from autorag_whisper.format import parse
from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask
from autorag_whisper.transcriber import FileDone, FileFailed
from autorag_whisper.transcriber.checkpoint import Checkpoint
from cli_world import BROKEN, transcript_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from autorag_whisper.archive import PlannedFile, Update, Written
    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.errors import AutoragWhisperError
    from autorag_whisper.transcriber import FileOutcome

REQUEST = BatchRequest(("srt", "json"))


def chunk(index: int) -> Checkpoint:
    """A chunk that is finished."""
    samples = SpeechChunk(index, index * 100, np.ones(100, np.float32), (SpeechSpan(index * 100, index * 100 + 9),))
    return Checkpoint.of(ChunkResult(ChunkTask(0, samples, "en"), "en", f"text {index}"), "en", 1.0)


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """Two talks, one of them in a folder below."""
    folder = tmp_path / "talks"
    (folder / "day 2").mkdir(parents=True)
    (folder / "one.mp3").write_text("good morning")
    (folder / "day 2" / "two.wav").write_text("good night")
    return folder


def plan_of(request: BatchRequest, *arguments: Path | str) -> Plan:
    planner = Planner(request)
    return planner.prepare(planner.plan(planner.find([str(argument) for argument in arguments])))


def no_standard_input() -> MediaSource:
    raise AssertionError


def batch_of(
    tmp_path: Path, request: BatchRequest, files: Sequence[PlannedFile], updates: list[Update] | None = None
) -> Batch:
    work, failed = open_sources(files, no_standard_input)
    assert failed == []
    told = [] if updates is None else updates
    return Batch(work, request, cache_dir=tmp_path / "cache", now_s=0.0, on_update=told.append)


def outcome_of(source: MediaSource) -> FileOutcome:
    """What a transcriber makes of a file: its own text."""
    with source.open() as file:
        data = file.read()
    if data == BROKEN:
        return FileFailed(source, MediaDamaged(source.name))
    return FileDone(source, transcript_of(source.name, data.decode()))


def run(tmp_path: Path, request: BatchRequest, *arguments: Path | str) -> list[Written]:
    with batch_of(tmp_path, request, plan_of(request, *arguments).files) as batch:
        return [batch.finish(outcome_of(source)) for source in batch.sources()]


def test_a_batch_writes_notes_and_is_finished_after_that(
    tmp_path: Path, talks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = run(tmp_path, REQUEST, talks)
    assert [one.names for one in written] == [("two.srt", "two.json"), ("one.srt", "one.json")]
    assert json.loads((talks / "one.json").read_text())["text"] == "good morning"
    assert (talks / MANIFEST).is_file()
    again = plan_of(REQUEST, talks)
    assert again.files == ()
    assert [one.shown for one in again.finished] == [str(talks / "day 2" / "two.wav"), str(talks / "one.mp3")]
    assert capsys.readouterr() == ("", "")


def test_only_what_is_missing_is_planned(tmp_path: Path, talks: Path) -> None:
    run(tmp_path, REQUEST, talks)
    (talks / "one.srt").unlink()
    (talks / "day 2" / "two.json").write_text("corrected")
    plan = plan_of(REQUEST, talks)
    assert [planned.to_write for planned in plan.files] == [("srt",)]
    assert [(one.shown, one.edited) for one in plan.finished] == [(str(talks / "day 2" / "two.wav"), ("two.json",))]


def test_a_manifest_that_makes_no_sense_is_told_once_however_many_files_lie_there(
    talks: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (talks / "three.mp3").write_text("good day")
    (talks / "notes.txt").write_text("asked whether it is an output")
    (talks / MANIFEST).write_text("{")
    assert len(plan_of(REQUEST, talks).files) == 3
    assert [record.getMessage().partition(" is ignored")[0] for record in caplog.records] == [str(talks / MANIFEST)]


def test_outputs_lie_in_the_one_folder_with_the_tree_mirrored(tmp_path: Path, talks: Path) -> None:
    run(tmp_path, BatchRequest(("txt",), tmp_path / "out"), talks)
    assert (tmp_path / "out" / "day 2" / "two.txt").read_text() == "good night\n"
    assert not (talks / MANIFEST).exists()


def test_files_of_others_are_kept_and_named_and_with_force_copied(tmp_path: Path, talks: Path) -> None:
    (talks / "one.srt").write_text("mine")
    plan = plan_of(REQUEST, talks / "one.mp3")
    assert plan.kept == (NotDone(str(talks / "one.mp3"), "one.srt (not written by autorag-whisper)"),)
    assert [planned.to_write for planned in plan.files] == [("json",)]
    [written] = run(tmp_path, BatchRequest(("srt",), force=True), talks / "one.mp3")
    assert written.remarks == ("the former one.srt is now one.srt.bak",)
    assert (talks / "one.srt.bak").read_text() == "mine"


def test_two_batches_never_do_the_same_file(tmp_path: Path, talks: Path) -> None:
    files, updates = plan_of(REQUEST, talks).files, list[UpdateKind]()
    with batch_of(tmp_path, REQUEST, files) as first:
        mine = first.sources()
        source = next(mine)
        told: list[Update] = []
        with batch_of(tmp_path, REQUEST, files, told) as second:
            assert [second.finish(outcome_of(other)).names for other in second.sources()] == [("one.srt", "one.json")]
            updates += [update.kind for update in told]
        told = []
        first.finish(outcome_of(source))
        assert list(mine) == []
        with batch_of(tmp_path, REQUEST, files, told) as third:
            assert list(third.sources()) == []
            updates += [update.kind for update in told]
    assert updates == [UpdateKind.RESERVED, UpdateKind.FINISHED, UpdateKind.FINISHED]


def test_what_a_stranger_put_there_since_the_plan_is_told_and_kept(tmp_path: Path, talks: Path) -> None:
    files, told = plan_of(BatchRequest(("srt",)), talks / "one.mp3").files, list["Update"]()
    (talks / "one.srt").write_text("mine")
    with batch_of(tmp_path, BatchRequest(("srt",)), files, told) as batch:
        assert list(batch.sources()) == []
    assert [(update.kind, update.kept) for update in told] == [
        (UpdateKind.KEPT, "one.srt (not written by autorag-whisper)")
    ]
    assert (talks / "one.srt").read_text() == "mine"


def test_a_file_that_failed_has_no_outputs_and_may_be_tried_by_another(tmp_path: Path, talks: Path) -> None:
    (talks / "one.mp3").write_bytes(BROKEN)
    files = plan_of(REQUEST, talks / "one.mp3").files
    with batch_of(tmp_path, REQUEST, files) as first, batch_of(tmp_path, REQUEST, files) as second:
        [source] = first.sources()
        assert first.finish(outcome_of(source)).names == ()
        assert len(list(second.sources())) == 1
    assert not (talks / "one.srt").exists()


def test_a_batch_without_formats_writes_nothing(tmp_path: Path, talks: Path) -> None:
    [one, two] = run(tmp_path, BatchRequest(()), talks)
    assert (one.names, one.error, two.names, two.error) == ((), None, (), None)
    assert {path.name for path in talks.rglob("*") if path.is_file()} == {"one.mp3", "two.wav"}


def test_an_error_of_one_files_outputs_is_a_value_and_a_full_disk_ends_the_batch(
    tmp_path: Path, talks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with batch_of(tmp_path, REQUEST, plan_of(REQUEST, talks).files) as batch:
        sources = batch.sources()
        two, one = next(sources), next(sources)
        (talks / "day 2").rename(talks / "day 3")
        (talks / "day 2").write_text("a file")
        written = batch.finish(FileDone(two, transcript_of("two.wav", "good night")))
        assert isinstance(written.error, OutputsUnwritable)
        assert isinstance(written.error, UnavailableError)
        assert str(written.error) == f"{talks / 'day 2' / 'two.wav'}: its outputs cannot be written: file exists."

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("autorag_whisper.archive.writing.write_together", full)
        with pytest.raises(DiskFull) as raised:
            batch.finish(outcome_of(one))
        assert raised.value.folder == str(talks)


def test_what_cannot_be_asked_for_is_a_request_error_before_any_work(tmp_path: Path, talks: Path) -> None:
    with pytest.raises(InvalidOption):
        BatchRequest(("srt", "docx"))
    with pytest.raises(NothingFound) as nothing:
        Planner(REQUEST).find([str(tmp_path / "gone.wav"), ""])
    assert nothing.value.reasons == (f"{tmp_path / 'gone.wav'}: no such file or folder", "'': no such file or folder")
    (talks / "one.mp3.srt").write_text("an input too")
    named = [str(talks / "one.mp3"), str(talks / "one.srt"), str(talks / "one.mp3.srt")]
    (talks / "one.srt").write_text("an input")
    planner = Planner(BatchRequest(("srt",)))
    assert planner.plan(planner.find(named)).files  # they are told apart
    (tmp_path / "file").touch()
    with pytest.raises(OutputFolderUnwritable) as unwritable:
        plan_of(BatchRequest(("srt",), tmp_path / "file"), talks / "one.mp3")
    assert all(issubclass(kind, RequestError) for kind in (type(nothing.value), type(unwritable.value), OutputsMeet))


@pytest.mark.parametrize(
    ("error", "left"), [(None, 0), (MediaDamaged("one.mp3"), 0), (EngineError("engine", "decode", "a fault"), 2)]
)
def test_finished_chunks_stay_for_the_next_batch_only_where_that_may_need_them(
    tmp_path: Path, talks: Path, error: AutoragWhisperError | None, left: int
) -> None:
    files = plan_of(BatchRequest(()), talks / "one.mp3").files
    with batch_of(tmp_path, BatchRequest(()), files) as batch:
        [source] = batch.sources()
        for index in range(2):
            batch.checkpoints.add(0, chunk(index))
        batch.finish(outcome_of(source) if error is None else FileFailed(source, error))
    told = list["Update"]()
    with batch_of(tmp_path, BatchRequest(()), files, told) as batch:
        assert len(list(batch.sources())) == 1
        assert len(batch.checkpoints.done(0)) == left
    assert [(update.kind, update.chunks) for update in told] == [(UpdateKind.RESUMED, 2)] * bool(left)


def test_a_folder_that_cannot_be_written_to_fails_its_files_before_the_work(
    talks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        if folder == talks / "day 2":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("autorag_whisper.archive.planning.make_writable", refuse)
    plan = plan_of(REQUEST, talks)
    assert [planned.input.name for planned in plan.files] == ["one.mp3"]
    remedy = "make it writable, or choose another output folder"
    reason = f"{talks / 'day 2'} cannot be written to: read-only file system; {remedy}"
    assert plan.failed == (NotDone(str(talks / "day 2" / "two.wav"), reason),)


def test_what_a_batch_keeps_in_the_cache_directory_has_the_names_that_earlier_versions_know(
    tmp_path: Path, talks: Path
) -> None:
    with batch_of(tmp_path, REQUEST, plan_of(REQUEST, talks / "one.mp3").files) as batch:
        assert len(list(batch.sources())) == 1
        assert {path.name.partition("-")[0] for path in (tmp_path / "cache" / "claims").iterdir()} == {
            "claim",
            "lock",
            "run",
        }
        assert batch.checkpoints.folder == tmp_path / "cache" / "unfinished"


def test_standard_input_is_read_by_whoever_has_it(tmp_path: Path) -> None:
    request = BatchRequest(("txt",), tmp_path / "out")
    work, failed = open_sources(plan_of(request, "-").files, lambda: spool(io.BytesIO(b"good day"), "stdin"))
    assert failed == []
    with Batch(work, request, cache_dir=tmp_path / "cache", now_s=0.0) as batch:
        assert [batch.finish(outcome_of(source)).names for source in batch.sources()] == [("stdin.txt",)]
    assert (tmp_path / "out" / "stdin.txt").read_text() == "good day\n"


def test_a_result_is_converted_as_the_recordings_output(tmp_path: Path, talks: Path) -> None:
    run(tmp_path, BatchRequest(("json",)), talks / "one.mp3")
    [item] = find_results([str(talks / "one.json")]).inputs
    data = (talks / "one.json").read_bytes()
    written = convert(JsonFile(item, data), parse(data), ConversionRequest(("srt", "json")))
    assert (written.names, written.error) == (("one.srt",), None)
    assert plan_of(REQUEST, talks / "one.mp3").files == ()  # both are its outputs now
    with pytest.raises(OutputIsInput):
        convert(JsonFile(item, data), parse(data), ConversionRequest(("json",)))


def test_a_result_whose_folder_cannot_be_read_is_an_error_of_that_file(tmp_path: Path, talks: Path) -> None:
    data = b'{"segments": []}'
    (tmp_path / "file").touch()
    item = JsonFile(Input(talks / "a.json", "a.json"), data)
    written = convert(item, transcript_of("a", "hi"), ConversionRequest(("srt",), tmp_path / "file"))
    assert isinstance(written.error, OutputsUnwritable)

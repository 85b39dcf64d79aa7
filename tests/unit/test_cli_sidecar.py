"""What is finished: noted, believed only while it is true, and shared with other processes."""

from __future__ import annotations

import json
import os
import shutil
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.cli import sidecar
from autorag_whisper.cli.fingerprint import Stamp, model_identity, options_digest, sha256_of
from autorag_whisper.cli.inputs import Input
from autorag_whisper.cli.naming import plan
from autorag_whisper.cli.sidecar import SIDECAR, Entry, Output, is_finished, read, record
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.cli.naming import Job

SETTINGS = Settings()


@pytest.fixture
def done(tmp_path: Path) -> Job:
    """A job whose outputs are written and noted with the options "o"."""
    (tmp_path / "talk.mp3").write_bytes(b"audio" * 1000)
    [job] = plan([Input(tmp_path / "talk.mp3", "talk.mp3")], ["srt", "json"], None)
    for path in job.targets.values():
        path.write_text(path.name)
    note(job)
    return job


def note(job: Job, options: str = "o") -> None:
    assert job.input.path
    outputs = {form: Output(path.name, sha256_of(path)) for form, path in job.targets.items()}
    stamp, digest = Stamp.of(job.input.path), sha256_of(job.input.path)
    record(job.folder, job.input.name, Entry(stamp, digest, options, outputs))


def finished(job: Job, options: str = "o") -> bool:
    return is_finished(job, options, read(job.folder).get(job.input.name))


def test_what_was_noted_is_finished_with_the_same_options_only(done: Job) -> None:
    assert finished(done)
    assert not finished(done, "other options")


def test_a_touched_file_is_still_finished(done: Job) -> None:
    assert done.input.path
    os.utime(done.input.path, ns=(1, 1))
    assert finished(done)


def test_a_file_that_was_copied_over_itself_is_still_finished(done: Job, tmp_path: Path) -> None:
    assert done.input.path
    shutil.copyfile(done.input.path, tmp_path / "copy")
    (tmp_path / "copy").replace(done.input.path)
    assert finished(done)


def test_a_folder_copied_with_its_sidecar_is_still_finished(done: Job, tmp_path: Path) -> None:
    copy = tmp_path / "backup"
    copy.mkdir()
    for path in [*done.targets.values(), done.folder / SIDECAR, done.folder / "talk.mp3"]:
        shutil.copyfile(path, copy / path.name)
    [job] = plan([Input(copy / "talk.mp3", "talk.mp3")], ["srt", "json"], None)
    assert finished(job)


def test_other_content_of_the_same_size_with_the_old_times_put_back_is_not_finished(done: Job) -> None:
    path = done.input.path
    assert path
    before = path.stat()
    path.write_bytes(b"AUDIO" * 1000)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert not finished(done)


@pytest.mark.parametrize("form", ["srt", "json"])
def test_a_missing_or_modified_output_is_not_finished(done: Job, form: str) -> None:
    done.targets[form].write_text("edited")
    assert not finished(done)
    done.targets[form].unlink()
    assert not finished(done)


def test_another_format_is_not_finished(done: Job) -> None:
    assert done.input.path
    [job] = plan([done.input], ["srt", "txt"], None)
    assert not finished(job)
    [job] = plan([done.input], ["json"], None)
    assert finished(job)


def test_outputs_under_the_whole_name_count_for_an_input_on_its_own(tmp_path: Path) -> None:
    # First both of a stem, then one of them alone: its outputs are there, only with a longer name.
    for name in ("talk.mp3", "talk.wav"):
        (tmp_path / name).write_bytes(b"audio")
    both = plan([Input(tmp_path / name, name) for name in ("talk.mp3", "talk.wav")], ["srt"], None)
    for job in both:
        job.targets["srt"].write_text("x")
        note(job)
    assert all(map(finished, both))
    [alone] = plan([both[0].input], ["srt"], None)
    assert alone.names != both[0].names
    assert finished(alone)


def test_outputs_under_the_stem_do_not_count_where_two_share_it(done: Job) -> None:
    (done.folder / "talk.wav").write_bytes(b"audio")
    jobs = plan([done.input, Input(done.folder / "talk.wav", "talk.wav")], ["srt"], None)
    assert not finished(jobs[0])


def test_an_input_whose_outputs_another_has_overwritten_is_forgotten(
    done: Job, caplog: pytest.LogCaptureFixture
) -> None:
    (done.folder / "talk.wav").write_bytes(b"other audio")
    [job] = plan([Input(done.folder / "talk.wav", "talk.wav")], ["srt"], None)
    job.targets["srt"].write_text("other")
    note(job)
    assert list(read(done.folder)) == ["talk.wav"]
    assert "talk.mp3: its outputs were replaced by those of talk.wav" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"version": 1}',
        b'{"version": 2, "files": {}}',
        b'{"version": 1, "files": []}',
        b'{"version": 1, "files": {"talk.mp3": 3}}',
        b'{"version": 1, "files": {"talk.mp3": {"sha256": "", "options": "", "outputs": {}, "stamp": {}}}}',
        b'{"version": 1, "files": {"talk.mp3": {"outputs": {}, "stamp": {"inode": Infinity}}}}',
        b"[" * 100_000,
    ],
    ids=range(12),
)
def test_a_sidecar_that_makes_no_sense_is_ignored_with_one_warning_and_written_anew(
    done: Job, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (done.folder / SIDECAR).write_bytes(content)
    assert not finished(done)
    note(done)
    assert [item.levelname for item in caplog.records] == ["WARNING"]
    assert SIDECAR in caplog.text
    assert finished(done)


def test_a_sidecar_that_cannot_be_written_is_a_warning(
    done: Job, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (done.folder / SIDECAR).unlink()
    (done.folder / SIDECAR).mkdir()
    note(done)
    assert "cannot be written" in caplog.text
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


def test_a_file_without_sidecar_is_not_finished_and_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(tmp_path) == {}
    assert caplog.records == []


def test_names_that_are_no_utf8_come_back_as_they_were(tmp_path: Path) -> None:
    name = os.fsdecode(b"latin1-\xe9\n.wav")
    entry = Entry(Stamp(1, 2, 3, 4), "s", "o", {"srt": Output(f"{name}.srt", "d")})
    record(tmp_path, name, entry)
    assert read(tmp_path) == {name: entry}
    assert json.loads((tmp_path / SIDECAR).read_bytes())["version"] == sidecar.VERSION


def test_two_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    # Threads stand for processes here: the lock belongs to the open folder, which each opens for itself.
    start = threading.Barrier(4)

    def write(writer: int) -> None:
        start.wait(timeout=10)
        for n in range(10):
            name = f"{writer}-{n}"
            record(tmp_path, name, Entry(Stamp(1, 1, 1, 1), "s", "o", {"srt": Output(f"{name}.srt", "d")}))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(read(tmp_path)) == 40
    assert [path.name for path in tmp_path.iterdir()] == [SIDECAR]


def digest(options: TranscribeOptions, settings: Settings = SETTINGS, model: str = "base", device: str = "auto") -> str:
    return options_digest(options, settings, model=model, device=device)


CHANGED = {
    "language": "de", "allowed_languages": ("de", "en"), "code_switching": True, "task": "translate", "quality": "fast",
    "beam_size": 1, "initial_prompt": "text", "hotwords": "text", "audio_stream": 1,
}  # fmt: skip


@pytest.mark.parametrize("option", CHANGED)
def test_an_option_that_changes_the_result_changes_the_digest(option: str) -> None:
    changed = TranscribeOptions(**{option: CHANGED[option]})  # type: ignore[arg-type]  # each of its own type
    assert digest(changed) != digest(TranscribeOptions())


@pytest.mark.parametrize("other", [{"compute_type": "int8"}, {"engine": "whisperx"}, {"align_models": {"en": "here"}}])
def test_the_model_and_what_runs_it_where_change_the_digest(other: dict[str, object]) -> None:
    known = digest(TranscribeOptions())
    assert digest(TranscribeOptions(), model="another") != known != digest(TranscribeOptions(), device="another")
    assert digest(TranscribeOptions(), replace(SETTINGS, **other)) != known


def test_how_much_is_done_at_a_time_does_not_change_the_digest() -> None:
    assert digest(TranscribeOptions(batch_size=3)) == digest(TranscribeOptions())


def test_two_spellings_of_a_language_are_one() -> None:
    assert digest(TranscribeOptions(language="en-US")) == digest(TranscribeOptions(language="English"))


def test_a_size_and_its_alias_are_the_same_model_and_a_changed_folder_is_not(tmp_path: Path) -> None:
    assert model_identity("turbo") == model_identity("large-v3-turbo") != model_identity("base")
    assert model_identity("owner/name") == "owner/name"
    (tmp_path / "model.bin").write_bytes(b"weights")
    before = model_identity(str(tmp_path))
    assert model_identity(f"{tmp_path}/.") == before
    (tmp_path / "model.bin").write_bytes(b"other weights")
    assert model_identity(str(tmp_path)) != before


@pytest.mark.parametrize("name", ["x" * 5000, "nul\0", "~nobody-of-that-name/x", ""])
def test_a_model_name_that_is_no_path_is_its_own_identity(name: str) -> None:
    assert model_identity(name) == name

"""What this command wrote: noted, believed only while it is true, and shared with other processes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag_whisper.archive import manifest, ownership
from autorag_whisper.archive.fingerprint import Stamp, digests_of_0_1_0, model_identity, options_digest
from autorag_whisper.archive.inputs import Input
from autorag_whisper.archive.manifest import MANIFEST, Entry, Output, Recording, read
from autorag_whisper.archive.naming import name_outputs
from autorag_whisper.archive.ownership import RecordingFile
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.files import sha256_of
from autorag_whisper.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.archive.naming import PlannedFile

SETTINGS = Settings()
FIELDS_OF_0_1_0 = {
    "language", "allowed_languages", "code_switching", "task", "quality", "beam_size", "temperatures", "initial_prompt",
    "hotwords", "audio_stream", "compression_ratio_threshold", "logprob_threshold", "no_speech_threshold",
    "vad_threshold", "aligner",
}  # fmt: skip


@pytest.fixture
def done(tmp_path: Path) -> PlannedFile:
    """A file whose outputs are written and noted with the options "o"."""
    (tmp_path / "talk.mp3").write_bytes(b"audio" * 1000)
    [planned] = name_outputs([Input(tmp_path / "talk.mp3", "talk.mp3")], ["srt", "json"], None)
    for path in planned.targets.values():
        path.write_text(path.name)
    note(planned)
    return planned


def record(folder: Path, entry: Entry) -> None:
    with manifest.locked(folder):
        known = read(folder, warn=False)
        manifest.write(folder, known.with_entry(entry), known)


def note(planned: PlannedFile, options: str = "o") -> None:
    assert planned.input.path
    outputs = {form: Output(path.name, sha256_of(path)) for form, path in planned.targets.items()}
    stamp, digest = Stamp.of(planned.input.path), sha256_of(planned.input.path)
    record(planned.folder, Entry(RecordingFile.of(planned).recording, stamp, digest, options, outputs))


def done_of(planned: PlannedFile, options: str = "o") -> ownership.Finished:
    return ownership.finished(planned, RecordingFile.of(planned), frozenset({options}), read(planned.folder))


def finished(planned: PlannedFile, options: str = "o") -> bool:
    return set(done_of(planned, options).outputs) == set(planned.formats)


def test_what_was_noted_is_finished_with_the_same_options_only(done: PlannedFile) -> None:
    assert finished(done)
    assert not finished(done, "other options")


def test_a_touched_file_is_still_finished(done: PlannedFile) -> None:
    assert done.input.path
    os.utime(done.input.path, ns=(1, 1))
    assert finished(done)


def test_a_file_that_was_copied_over_itself_is_still_finished(done: PlannedFile, tmp_path: Path) -> None:
    assert done.input.path
    shutil.copyfile(done.input.path, tmp_path / "copy")
    (tmp_path / "copy").replace(done.input.path)
    assert finished(done)


def test_a_folder_copied_with_its_manifest_is_still_finished(done: PlannedFile, tmp_path: Path) -> None:
    copy = tmp_path / "backup"
    copy.mkdir()
    for path in [*done.targets.values(), done.folder / MANIFEST, done.folder / "talk.mp3"]:
        shutil.copyfile(path, copy / path.name)
    [planned] = name_outputs([Input(copy / "talk.mp3", "talk.mp3")], ["srt", "json"], None)
    assert finished(planned)


def test_other_content_of_the_same_size_with_the_old_times_put_back_is_not_finished(done: PlannedFile) -> None:
    path = done.input.path
    assert path
    before = path.stat()
    path.write_bytes(b"AUDIO" * 1000)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert not finished(done)


@pytest.mark.parametrize("form", ["srt", "json"])
def test_a_missing_output_is_not_finished_and_one_that_was_changed_is_and_is_told_apart(
    done: PlannedFile, form: str
) -> None:
    done.targets[form].write_text("edited")
    assert finished(done)
    assert done_of(done).corrected == {form}
    done.targets[form].unlink()
    assert not finished(done)


def test_another_format_is_not_finished(done: PlannedFile) -> None:
    assert done.input.path
    [planned] = name_outputs([done.input], ["srt", "txt"], None)
    assert not finished(planned)
    [planned] = name_outputs([done.input], ["json"], None)
    assert finished(planned)


def test_outputs_under_the_whole_name_count_for_an_input_on_its_own(tmp_path: Path) -> None:
    # First both of a stem, then one of them alone: its outputs are there, only with a longer name.
    for name in ("talk.mp3", "talk.wav"):
        (tmp_path / name).write_bytes(b"audio")
    both = name_outputs([Input(tmp_path / name, name) for name in ("talk.mp3", "talk.wav")], ["srt"], None)
    for planned in both:
        planned.targets["srt"].write_text("x")
        note(planned)
    assert all(map(finished, both))
    [alone] = name_outputs([both[0].input], ["srt"], None)
    assert alone.names != both[0].names
    assert finished(alone)


def test_outputs_under_the_stem_do_not_count_where_two_share_it(done: PlannedFile) -> None:
    (done.folder / "talk.wav").write_bytes(b"audio")
    files = name_outputs([done.input, Input(done.folder / "talk.wav", "talk.wav")], ["srt"], None)
    assert not finished(files[0])


def test_a_name_has_one_owner_the_newest(done: PlannedFile) -> None:
    (done.folder / "talk.wav").write_bytes(b"other audio")
    [planned] = name_outputs([Input(done.folder / "talk.wav", "talk.wav")], ["srt"], None)
    planned.targets["srt"].write_text("other")
    note(planned)
    owners = {name: entry.recording.name for name, (entry, _) in read(done.folder).outputs.items()}
    assert owners == {"talk.srt": "talk.wav", "talk.json": "talk.mp3"}


def test_what_other_options_made_under_other_names_stays_known(done: PlannedFile) -> None:
    [planned] = name_outputs([Input(done.folder / "talk.mp3", "talk.mp3")], ["txt"], None)
    planned.targets["txt"].write_text("translated")
    note(planned, "other options")
    assert finished(done)
    assert finished(planned, "other options")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"version": 1}',
        b'{"version": "3", "files": []}',
        b'{"version": 2, "files": {"a": 1}}',
        b'{"version": 1, "files": []}',
        b'{"version": 1, "files": {"talk.mp3": 3}}',
        b'{"version": 1, "files": {"talk.mp3": {"sha256": "", "options": "", "outputs": {}, "stamp": {}}}}',
        b'{"version": 1, "files": {"talk.mp3": {"outputs": {}, "stamp": {"inode": Infinity}}}}',
        b'{"version": 1, "files": {"a": {"outputs": {"srt": {"name": "../a.srt", "sha256": ""}}, "stamp": {}}}}',
        b"[" * 100_000,
    ],
    ids=range(14),
)
def test_a_manifest_that_makes_no_sense_is_told_once_vouches_for_nothing_and_is_set_aside(
    done: PlannedFile, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (done.folder / MANIFEST).write_bytes(content)
    assert not finished(done)
    assert [item.levelname for item in caplog.records] == ["WARNING"]
    assert MANIFEST in caplog.text
    note(done)
    assert finished(done)
    assert (done.folder / f"{MANIFEST}.bak").read_bytes() == content


def test_the_names_of_fields_on_disk_are_those_that_users_have(tmp_path: Path) -> None:
    """Names in the program may change; a manifest of today's version is read, and written, as it always was."""
    on_disk = {
        "version": 2,
        "files": [
            {
                "recording": {"name": "talk.mp3", "folder": "..", "track": "1", "selector": "de"},
                "stamp": {"size_bytes": 5, "mtime_ns": 6, "ctime_ns": 7, "inode": 8},
                "sha256": "s",
                "options": "o",
                "outputs": {"srt": {"name": "talk.2.srt", "sha256": "t", "wanted": "talk.srt", "before": ["u"]}},
                "words": "w",
            }
        ],
    }
    (tmp_path / MANIFEST).write_text(json.dumps(on_disk))
    found = read(tmp_path)
    output = Output("talk.2.srt", "t", "talk.srt", ("u",))
    assert found.entries == (
        Entry(Recording("talk.mp3", "..", "1", "de"), Stamp(5, 6, 7, 8), "s", "o", {"srt": output}, "w"),
    )
    manifest.write(tmp_path, found, found)
    assert json.loads((tmp_path / MANIFEST).read_text()) == on_disk


def test_a_manifest_of_a_newer_version_vouches_for_nothing_and_is_never_written_over(
    done: PlannedFile, caplog: pytest.LogCaptureFixture
) -> None:
    (done.folder / MANIFEST).write_text('{"version": 3, "outputs": {}}')
    assert not finished(done)
    assert "newer version" in caplog.text
    note(done)
    assert (done.folder / MANIFEST).read_text() == '{"version": 3, "outputs": {}}'


def test_a_manifest_that_cannot_be_read_vouches_for_nothing(
    done: PlannedFile, caplog: pytest.LogCaptureFixture
) -> None:
    (done.folder / MANIFEST).unlink()
    (done.folder / MANIFEST).mkdir()
    assert read(done.folder).closed
    assert "is a directory" in caplog.text
    note(done)
    assert [path.name for path in done.folder.iterdir() if path.name.endswith(".tmp")] == []


@pytest.mark.parametrize("device", ["auto", "cuda:1"])
@pytest.mark.parametrize("noted", [("cuda", "float16"), ("auto", "default"), ("cpu", "int8"), ("cuda:3", "default")])
def test_what_version_0_1_0_noted_is_still_finished_on_whatever_device_it_was_made(
    done: PlannedFile, noted: tuple[str, str], device: str
) -> None:
    # The digest and the file as that version made them.
    facts = {name: value for name, value in asdict(TranscribeOptions()).items() if name in FIELDS_OF_0_1_0}
    facts |= {
        "model": "base",
        "device": noted[0],
        "version": "0.1.0",
        "engine": "ctranslate2",
        "compute_type": noted[1],
    }
    facts |= {"engine": "ctranslate2", "align_models": {}}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    [entry] = read(done.folder).entries
    outputs = {form: {"name": output.name, "sha256": output.sha256} for form, output in entry.outputs.items()}
    file = {"stamp": asdict(entry.stamp), "sha256": entry.sha256, "options": digest, "outputs": outputs}
    (done.folder / MANIFEST).write_text(json.dumps({"version": 1, "files": {"talk.mp3": file}}))
    known = digests_of_0_1_0(TranscribeOptions(), SETTINGS, model="base", device=device)
    assert ownership.finished(done, RecordingFile.of(done), known, read(done.folder)).outputs.keys() == {"srt", "json"}
    other = digests_of_0_1_0(TranscribeOptions(beam_size=1), SETTINGS, model="base", device=device)
    assert not ownership.finished(done, RecordingFile.of(done), other, read(done.folder)).outputs


def test_a_file_without_manifest_is_not_finished_and_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(tmp_path).entries == ()
    assert caplog.records == []


def test_names_that_are_no_utf8_come_back_as_they_were(tmp_path: Path) -> None:
    name = os.fsdecode(b"latin1-\xe9\n.wav")
    entry = Entry(Recording(name), Stamp(1, 2, 3, 4), "s", "o", {"srt": Output(f"{name}.srt", "d", "w", ("e", "f"))})
    record(tmp_path, entry)
    assert read(tmp_path).entries == (entry,)
    assert json.loads((tmp_path / MANIFEST).read_bytes())["version"] == manifest.VERSION


def entry_of(name: str, sha256: str = "s", options: str = "o") -> Entry:
    return Entry(Recording(name), Stamp(1, 2, 3, 4), sha256, options, {"srt": Output(f"{name}.srt", "d")})


def test_noting_a_file_makes_the_others_entries_neither_anew_nor_from_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        record(tmp_path, entry_of(f"{number}.wav"))
    before = (tmp_path / MANIFEST).read_text()
    told: list[object] = []
    facts = manifest._facts
    monkeypatch.setattr(manifest, "_facts", lambda value: (told.append(value), facts(value))[1])
    monkeypatch.setattr(manifest, "_parse", None)
    record(tmp_path, entry_of("5.wav"))
    assert [one.recording.name for one in told if isinstance(one, Entry)] == ["5.wav"]
    assert [line.rstrip(",") for line in (tmp_path / MANIFEST).read_text().splitlines()[1:-1]] == [
        *(line.rstrip(",") for line in before.splitlines()[1:-1]),
        entry_of("5.wav").line,
    ]


@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("st"), st.sampled_from("op"), st.booleans()), max_size=12
    )
)
@settings(max_examples=50)
def test_what_is_read_is_what_the_file_says_whoever_wrote_it(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str, bool]]
) -> None:
    folder = tmp_path_factory.mktemp("noted")
    other = folder.parent / f"{folder.name}-other"  # its manifest is put in the place of ours, as by another program
    other.mkdir()
    for name, sha256, options, elsewhere in steps:
        record(other if elsewhere else folder, entry_of(name, sha256, options))
        if elsewhere:
            (folder / MANIFEST).write_bytes((other / MANIFEST).read_bytes())
        fresh = manifest._parse(json.loads((folder / MANIFEST).read_bytes()))
        assert read(folder).entries == fresh.entries
        assert read(folder).called(name) == fresh.called(name)


def digest(options: TranscribeOptions, settings: Settings = SETTINGS, model: str = "base") -> str:
    return options_digest(options, settings, model=model)


CHANGED = {
    "language": "de", "allowed_languages": ("de", "en"), "code_switching": True, "task": "translate", "quality": "fast",
    "beam_size": 1, "initial_prompt": "text", "hotwords": "text", "audio_stream": 1,
}  # fmt: skip


@pytest.mark.parametrize("option", CHANGED)
def test_an_option_that_changes_the_result_changes_the_digest(option: str) -> None:
    changed = TranscribeOptions(**{option: CHANGED[option]})  # type: ignore[arg-type]  # each of its own type
    assert digest(changed) != digest(TranscribeOptions())


@pytest.mark.parametrize("other", [{"engine": "whisperx"}, {"align_models": {"en": "here"}}])
def test_the_model_and_the_engine_change_the_digest(other: dict[str, object]) -> None:
    known = digest(TranscribeOptions())
    assert digest(TranscribeOptions(), model="another") != known
    assert digest(TranscribeOptions(), replace(SETTINGS, **other)) != known  # type: ignore[arg-type] # each of its own type


def test_neither_where_nor_how_much_at_a_time_changes_the_digest() -> None:
    known = digest(TranscribeOptions())
    assert digest(TranscribeOptions(batch_size=3)) == known
    assert digest(TranscribeOptions(), replace(SETTINGS, compute_type="float16", threads=2)) == known


def test_an_option_that_is_new_in_a_version_changes_no_digest_while_it_has_its_default() -> None:
    # `dataclass` of a later version: one field more.
    @dataclass(frozen=True)
    class Later(TranscribeOptions):
        added: int = 7

    assert digest(Later()) == digest(TranscribeOptions())
    assert digest(Later(added=8)) != digest(Later())
    assert digests_of_0_1_0(Later(added=8), SETTINGS, model="base", device="auto") == frozenset()


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


def test_a_folder_that_another_program_keeps_locked_is_written_to_and_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It went on without the lock after ten seconds, and without a word."""
    with manifest.locked(tmp_path):
        assert "locked by another program" not in caplog.text
        with manifest.locked(tmp_path, wait_s=0.05):
            assert f"{tmp_path} has been locked by another program for 0.05 s" in caplog.text

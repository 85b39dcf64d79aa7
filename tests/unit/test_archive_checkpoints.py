"""Chunks in the cache directory: kept as they come, read back if they make sense, gone with their file."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autorag_whisper.archive.checkpoints import KEPT_S, CheckpointFolder
from autorag_whisper.domain.audio import SpeechChunk, SpeechSpan
from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask
from autorag_whisper.transcriber.checkpoint import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

FACTS = {"options": "o", "device": "cpu"}


def chunk(index: int) -> Checkpoint:
    samples = SpeechChunk(index, index * 100, np.ones(100, np.float32), (SpeechSpan(index * 100, index * 100 + 9),))
    return Checkpoint.of(ChunkResult(ChunkTask(0, samples, "en"), "en", f"text {index}"), "en", 1.0)


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"audio")
    return path


def texts(kept: CheckpointFolder, talk: Path) -> dict[int, str]:
    return {index: checkpoint.result.text for index, checkpoint in kept.done(kept.begin(talk)).items()}


def keep(folder: Path, talk: Path, *indices: int, **facts: str) -> CheckpointFolder:
    kept = CheckpointFolder(folder, FACTS | facts)
    number = kept.begin(talk)
    for index in indices:
        kept.add(number, chunk(index))
    return kept


def test_chunks_come_back_for_the_same_file_and_facts_alone(tmp_path: Path, talk: Path) -> None:
    keep(tmp_path / "kept", talk, 0, 2)
    assert texts(CheckpointFolder(tmp_path / "kept", FACTS), talk) == {0: "text 0", 2: "text 2"}
    assert texts(CheckpointFolder(tmp_path / "kept", FACTS | {"device": "cuda"}), talk) == {}
    talk.write_bytes(b"AUDIO")
    assert texts(CheckpointFolder(tmp_path / "kept", FACTS), talk) == {}


def test_a_recording_without_a_path_is_known_by_what_is_said_of_it(tmp_path: Path) -> None:
    kept = CheckpointFolder(tmp_path / "kept", FACTS)
    kept.add(kept.begin(None, ("a", "s3://talks/a.wav", 5)), chunk(0))
    kept.add(kept.begin(None), chunk(1))
    after = CheckpointFolder(tmp_path / "kept", FACTS)
    for known_as, found in ((("a", "s3://talks/a.wav", 5), {0}), (("a", "s3://talks/a.wav", 6), set()), ((), set())):
        assert after.done(after.begin(None, known_as)).keys() == found


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a FIFO")
def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")  # opened for reading as a file it would wait for a writer for ever
    assert keep(tmp_path / "kept", tmp_path / "pipe.wav", 0).done(0) == {}


def test_a_system_that_takes_a_part_of_what_is_written_gets_the_rest(
    tmp_path: Path, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the line was lost, and with it the next chunk."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:100]))
    keep(tmp_path / "kept", talk, 0, 1, 2)
    assert texts(CheckpointFolder(tmp_path / "kept", FACTS), talk) == {0: "text 0", 1: "text 1", 2: "text 2"}


def test_chunks_carry_the_number_of_their_file_in_the_run_that_reads_them(tmp_path: Path, talk: Path) -> None:
    keep(tmp_path / "kept", talk, 1)
    kept = CheckpointFolder(tmp_path / "kept", FACTS)
    kept.begin(tmp_path / "gone.wav")
    number = kept.begin(talk)
    assert kept.done(number)[1].result.task.file == number == 1


def other_version(place: Path, change: Callable[[dict[str, Any]], object], lines: int = 99) -> None:
    """Have another version have written the first lines of that file."""
    header, *rest = place.read_bytes().splitlines(keepends=True)
    found = json.loads(header)
    change(found)
    place.write_bytes(b"".join([json.dumps(found).encode() + b"\n", *rest[:lines]]))


def test_after_an_upgrade_a_run_goes_on_behind_what_the_other_version_has_done(tmp_path: Path, talk: Path) -> None:
    keep(tmp_path / "kept", talk, 0, 1)
    [place] = (tmp_path / "kept").iterdir()
    other_version(place, lambda header: header.update(package="0.0.9"))
    assert texts(CheckpointFolder(tmp_path / "kept", FACTS), talk) == {0: "text 0", 1: "text 1"}
    keep(tmp_path / "kept", talk, 2)
    keep(tmp_path / "kept", talk, 3)
    assert set(texts(CheckpointFolder(tmp_path / "kept", FACTS), talk)) == {0, 1, 2, 3}
    assert place.read_bytes().count(b'"package"') == 2


def test_what_another_version_has_done_in_another_way_is_refused_by_name_and_done_again(
    tmp_path: Path, talk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tmp_path / "kept", talk, 0, 1)
    [place] = (tmp_path / "kept").iterdir()
    other_version(place, lambda header: header.update(package="9.9.9", version=3))
    assert texts(CheckpointFolder(tmp_path / "kept", FACTS), talk) == {}
    assert (
        "talk.wav: what an earlier run has finished of it is done again: they are of autorag-whisper 9.9.9"
        in caplog.text
    )
    keep(tmp_path / "kept", talk, 2)
    assert texts(CheckpointFolder(tmp_path / "kept", FACTS), talk) == {2: "text 2"}


def test_the_first_format_is_refused_by_name(tmp_path: Path, talk: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep(tmp_path / "kept", talk, 0)
    [place] = (tmp_path / "kept").iterdir()
    place.write_bytes((Path(__file__).parents[1] / "data" / "checkpoints" / "version-1.chunks").read_bytes())
    assert texts(CheckpointFolder(tmp_path / "kept", FACTS), talk) == {}
    assert "talk.wav: what an earlier run has finished of it is done again" in caplog.text
    assert "in format 1" in caplog.text
    keep(tmp_path / "kept", talk, 2)
    assert texts(CheckpointFolder(tmp_path / "kept", FACTS), talk) == {2: "text 2"}


def test_what_is_finished_leaves_nothing(tmp_path: Path, talk: Path) -> None:
    kept = keep(tmp_path / "kept", talk, 0, 1)
    kept.forget(0)
    assert list((tmp_path / "kept").iterdir()) == []


def test_standard_input_is_not_kept(tmp_path: Path) -> None:
    kept = CheckpointFolder(tmp_path / "kept", FACTS)
    number = kept.begin(None)
    kept.add(number, chunk(0))
    kept.forget(number)
    assert kept.done(number) == {}
    assert not (tmp_path / "kept").exists()


class Fires:
    """A pickle of it makes a file when it is read."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.place,)


@pytest.mark.parametrize(
    ("spoil", "left"),
    [
        (lambda data: data[:-40], {0}),
        (lambda data: data[:10], set()),
        (lambda data: data.replace(b'"version":2', b'"version":3'), set()),
        (lambda data: data.replace(b'"text":"str"', b'"text":"int"'), set()),
        (lambda data: data.splitlines()[0] + b"\n[1,2,3]\nnull\n{}\n\xff\xfe\n" + data.splitlines()[1] + b"\n", {0}),
        (lambda _data: b"", set()),
    ],
    ids=["cut", "cut in its head", "version", "record", "others between", "empty"],
)
def test_what_makes_no_sense_is_ignored_and_the_next_chunks_are_kept(
    spoil: object, left: set[int], tmp_path: Path, talk: Path
) -> None:
    assert callable(spoil)
    keep(tmp_path / "kept", talk, 0, 1)
    [place] = (tmp_path / "kept").iterdir()
    place.write_bytes(spoil(place.read_bytes()))
    assert set(texts(CheckpointFolder(tmp_path / "kept", FACTS), talk)) == left
    keep(tmp_path / "kept", talk, 7, 8)
    assert set(texts(CheckpointFolder(tmp_path / "kept", FACTS), talk)) == left | {7, 8}


def test_a_pickle_is_never_run(tmp_path: Path, talk: Path) -> None:
    keep(tmp_path / "kept", talk, 0)
    [place] = (tmp_path / "kept").iterdir()
    place.write_bytes(pickle.dumps(Fires(str(tmp_path / "fired"))))
    assert texts(CheckpointFolder(tmp_path / "kept", FACTS), talk) == {}
    assert not (tmp_path / "fired").exists()


def test_what_nobody_comes_back_for_is_removed(tmp_path: Path, talk: Path) -> None:
    kept = keep(tmp_path / "kept", talk, 0)
    [place] = (tmp_path / "kept").iterdir()
    kept.prune(place.stat().st_mtime + KEPT_S - 10)
    assert place.exists()
    kept.prune(place.stat().st_mtime + KEPT_S + 10)
    assert not place.exists()


def test_a_folder_that_cannot_be_written_is_told_once(
    tmp_path: Path, talk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(talk / "kept", talk, 0, 1, 2)
    assert [item.levelname for item in caplog.records] == ["WARNING"]
    assert "AUTORAG_WHISPER_CACHE_DIR" in caplog.text


def test_what_was_said_is_for_its_owner_alone(tmp_path: Path, talk: Path) -> None:
    keep(tmp_path / "kept", talk, 0)
    [place] = (tmp_path / "kept").iterdir()
    assert (place.stat().st_mode & 0o77, place.parent.stat().st_mode & 0o77) == (0, 0)

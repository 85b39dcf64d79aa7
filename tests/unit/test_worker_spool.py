"""The file in which audio without a path goes to the worker process: what arrives, and that nothing is left of it."""

from __future__ import annotations

import io
import os
import pickle
import resource
import socket
import tempfile
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import Cancelled, InvalidOption, MediaDamaged, MediaEmpty, MediaUnreadable
from autorag_whisper.worker.job import WorkerJob
from autorag_whisper.worker.messages import Start
from autorag_whisper.worker.spool import Spool, arrived, receive_descriptor, send_descriptor
from autorag_whisper.worker.supervision import Limits

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def spool() -> Spool:
    return Spool()


def read(source: MediaSource) -> bytes:
    with source.open() as file:
        return file.read()


@pytest.fixture
def sources(tmp_path: Path) -> list[MediaSource]:
    """Of each make, all of other bytes."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"of a file" * 300_000)
    return [
        MediaSource.from_bytes(b"of bytes", name="one"),
        MediaSource.from_file(path.open("rb")),
        MediaSource.from_samples(np.arange(100_000, dtype=np.int16)),
        MediaSource.from_file(io.BytesIO(b"of an object")),
    ]


def test_parts_are_the_bytes_of_their_sources_however_they_are_read(sources: list[MediaSource], spool: Spool) -> None:
    parts = [arrived(pickle.loads(pickle.dumps(spool.add(source))), spool.descriptor) for source in sources]
    assert [part.name for part in parts] == [source.name for source in sources]
    assert [read(part) for part in parts] == [read(source) for source in sources]
    with parts[1].open() as first, parts[1].open() as second:
        assert first.read(5) == second.read(5) == b"of a "
        assert second.seek(-4, os.SEEK_END) == 9 * 300_000 - 4
        assert (second.read(), first.read(4)) == (b"file", b"file")


def test_what_cannot_be_read_leaves_the_others_whole(sources: list[MediaSource], spool: Spool) -> None:
    first = spool.add(sources[0])
    for media, error in ((b"", MediaEmpty), (np.full(9, np.nan), MediaDamaged), (None, InvalidOption)):
        refused = spool.add(MediaSource.of(media))  # type: ignore[arg-type]  # None is no media, which is the point
        with pytest.raises(error):
            pickle.loads(pickle.dumps(refused)).open()

    class Fails(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 1000:
                raise KeyError("it has gone")
            return super().read(size)

    with pytest.raises(MediaUnreadable):
        spool.add(MediaSource.of(Fails(b"x" * 3_000_000))).open()
    last = spool.add(sources[3])
    assert [read(arrived(part, spool.descriptor)) for part in (first, last)] == [b"of bytes", b"of an object"]


def test_a_part_that_has_not_arrived_is_unreadable(spool: Spool) -> None:
    with pytest.raises(MediaUnreadable):
        spool.add(MediaSource.from_bytes(b"x")).open()


def test_paths_stay_paths() -> None:
    source = MediaSource.from_path("talk.mp3")
    assert arrived(source, 7) == source


def pair() -> tuple[Connection[Any, Any], Connection[Any, Any]]:
    ours, theirs = socket.socketpair()
    return Connection(ours.detach()), Connection(theirs.detach())


def test_the_descriptor_arrives_between_the_messages_around_it_and_outlives_the_sender(
    sources: list[MediaSource],
) -> None:
    spool, (ours, theirs) = Spool(), pair()
    part = spool.add(sources[0])
    ours.send("before")
    send_descriptor(ours, spool.descriptor)
    ours.send("after" * 10)
    del spool
    assert theirs.recv() == "before"
    descriptor = receive_descriptor(theirs)
    assert theirs.recv() == "after" * 10
    assert not os.get_inheritable(descriptor)
    assert read(arrived(part, descriptor)) == b"of bytes"
    os.close(descriptor)
    ours.close()
    with pytest.raises(OSError, match="did not arrive"):
        receive_descriptor(theirs)


def test_a_spool_has_no_name_that_could_be_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: list[MediaSource]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    spool = Spool()
    spool.add(sources[0])
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_copy_may_be_ended_between_its_pieces(spool: Spool) -> None:
    pieces = iter([None, None])

    def check() -> None:
        if next(pieces, "over") == "over":
            raise Cancelled

    with pytest.raises(Cancelled):
        spool.add(MediaSource.from_bytes(b"x" * 10_000_000), check)


def test_where_the_disk_is_full_each_source_says_so_and_what_fits_is_there(spool: Spool) -> None:
    # What a buffer had held back was written again when the part was taken back, and that error went to the caller.
    first = spool.add(MediaSource.from_bytes(b"a" * 100))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, limits[1]))
    try:
        refused = [spool.add(MediaSource.from_bytes(b"b" * size, name="b.wav")) for size in (51, 5_000, 3_000_000)]
        last = spool.add(MediaSource.from_bytes(b"c" * 50))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    for source in refused:
        with pytest.raises(MediaUnreadable, match=r"b\.wav: .*too large"):
            source.open()
    assert [read(arrived(part, spool.descriptor)) for part in (first, last)] == [b"a" * 100, b"c" * 50]


def test_where_no_temporary_file_can_be_made_what_has_a_path_is_done_all_the_same(
    sources: list[MediaSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    file = MediaSource.from_path(tmp_path / "a.bin")
    job = WorkerJob((file, sources[0]), None, "base", None)
    job.carry(lambda: None)
    job.next_round(Limits())
    message = job.message(1, None)
    assert isinstance(message, Start)
    assert not message.has_spool
    there, refused = pickle.loads(pickle.dumps(message.files))
    assert there == file
    with pytest.raises(MediaUnreadable, match="one: no such file"):
        refused.open()

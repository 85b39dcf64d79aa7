"""An archive in a storage that speaks S3, on a server of this test's own: planned by address, fetched, recognised."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from autorag_whisper.archive.sharded.listing import Candidate, Listing
from autorag_whisper.archive.sharded.opening import AHEAD, Opener
from autorag_whisper.archive.sharded.remote import fetch
from autorag_whisper.archive.sharded.rows import Row
from autorag_whisper.domain.archive_errors import MediaUnreachable
from autorag_whisper.domain.errors import ExtraNotInstalled, MediaEmpty, MediaNotFound, MediaUnreadable
from cli_world import BROKEN, World

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXTS = {"a.wav": "one two", "deep/b.mp3": "three", "deep/er/c ü.flac": "four five six"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server with a bucket `talks`."""
    import boto3

    moto = ThreadedMotoServer("127.0.0.1", 0)
    moto.start()
    host, port = moto.get_host_and_port()
    keys = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    before = {name: os.environ.get(name) for name in keys}
    os.environ.update(keys)
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="talks")
    for name, text in TEXTS.items():
        client.put_object(Bucket="talks", Key=f"in/{name}", Body=text.encode())
    for name in ("Talk [1].wav", "Talks [2020]/a.wav"):
        client.put_object(Bucket="talks", Key=f"odd/{name}", Body=b"odd")
    client.put_object(Bucket="talks", Key="in/notes.txt", Body=b"no media")
    client.put_object(Bucket="talks", Key="in/broken.wav", Body=BROKEN)
    client.put_object(Bucket="talks", Key="in/empty.wav", Body=b"")
    yield keys["AWS_ENDPOINT_URL"]
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    moto.stop()


@pytest.mark.usefixtures("server")
def test_what_a_folder_an_object_and_a_pattern_have() -> None:
    def names(*addresses: str) -> list[str]:
        return [candidate.uri for candidate in Listing(addresses).candidates()]

    everything = [f"s3://talks/in/{name}" for name in (*TEXTS, "broken.wav", "empty.wav")]
    assert sorted(names("s3://talks/in/")) == sorted(everything)
    assert names("s3://talks/in/notes.txt") == ["s3://talks/in/notes.txt"], "what is named itself is taken as it is"
    assert names("s3://talks/in/deep/*.mp3") == ["s3://talks/in/deep/b.mp3"]
    for odd in ("s3://talks/odd/Talk [1].wav", "s3://talks/odd/Talks [2020]/a.wav"):
        assert names(odd) == [odd], "what is there by that very name goes before a pattern"
        with fetch(odd, "x") as file:
            assert file.read() == b"odd"
    assert names("s3://talks/odd/Talks [2020]/") == ["s3://talks/odd/Talks [2020]/a.wav"]
    assert names("s3://talks/odd/Talks?[[]2020]/*") == ["s3://talks/odd/Talks [2020]/a.wav"]
    assert sorted(names("s3://talks/in/deep/**")) == [uri for uri in sorted(everything) if "/deep/" in uri]
    found = {one.uri: one for one in Listing(["s3://talks/in/"]).candidates()}
    assert found["s3://talks/in/a.wav"].size_bytes == len(TEXTS["a.wav"])
    tags = [one.tag for one in found.values()]
    assert len(set(tags)) == len(tags), "what tells that an object was changed"
    assert all(tags)


@pytest.mark.usefixtures("server")
def test_what_is_not_there_is_a_problem_with_its_address() -> None:
    for address in ("s3://talks/nothing/", "s3://no-such-bucket/x/", "s3://talks/*.none"):
        listing = Listing([address])
        assert list(listing.candidates()) == []
        assert [problem.shown for problem in listing.problems] == [address]


def test_a_storage_of_which_nothing_is_installed_says_what_to_install() -> None:
    with pytest.raises(ExtraNotInstalled, match="nonsense://"):
        list(Listing(["nonsense://x/"]).candidates())


@pytest.mark.usefixtures("server")
def test_an_object_is_fetched_whole_and_errors_have_their_types() -> None:
    with fetch("s3://talks/in/a.wav", "a.wav") as file:
        assert file.read() == TEXTS["a.wav"].encode()
    with pytest.raises(MediaNotFound):
        fetch("s3://talks/in/none.wav", "none.wav")


class Odd(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A storage `odd://` that refuses everybody, or whose package is missing."""

    protocol = "odd"
    cachable = False
    missing = False

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()
        if self.missing:
            raise ImportError("install oddfs")

    def open(self, *_: object, **__: object) -> NoReturn:
        raise PermissionError("The provided token has expired.")


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> type[Odd]:
    fsspec.register_implementation("odd", Odd, clobber=True)
    monkeypatch.setattr(Odd, "missing", False)
    return Odd


@pytest.mark.usefixtures("odd")
def test_a_storage_that_refuses_may_let_in_later() -> None:
    # Keys expire in the middle of an archive: it was the recording's own fault, which `retry` leaves out.
    with pytest.raises(MediaUnreachable, match=r"token has expired.*keys"):
        fetch("odd://b/x.wav", "x.wav")


def test_a_storage_of_a_kind_that_nobody_knows_is_a_recordings_own_fault() -> None:
    with pytest.raises(MediaUnreadable):
        fetch("nonsense://b/x.wav", "x.wav")


def planned(world: World, folder: Path, *places: str) -> tuple[Path, Path]:
    (folder / "list.txt").write_text("\n".join(places))
    assert world.command("archive", "plan", "--from", folder / "list.txt", "-o", folder / "plan.jsonl") == 0
    return folder / "plan.jsonl", folder / "out"


def test_a_machine_that_cannot_read_a_storage_ends_its_run_and_fails_no_recording(
    tmp_path: Path, odd: type[Odd], capsys: pytest.CaptureFixture[str]
) -> None:
    # One such machine of many was done with the whole archive in no time, and all of it had failed.
    world = World()
    (tmp_path / "here.wav").write_text("one")
    plan, out = planned(world, tmp_path, str(tmp_path / "here.wav"), "odd://b/x.wav", "odd://b/y.wav")
    odd.missing = True
    assert world.command("archive", "run", plan, "-o", out) == 2
    assert "oddfs" in capsys.readouterr().err
    world.command("archive", "status", plan, "-o", out, "--json")
    assert json.loads(capsys.readouterr().out)["failures"] == {}
    odd.missing = False
    assert world.command("archive", "run", plan, "-o", out) == 0
    world.command("archive", "status", plan, "-o", out, "--json")
    assert json.loads(capsys.readouterr().out)["failures"] == {"MediaUnreachable": 2}


@pytest.mark.usefixtures("server")
def test_a_machine_without_room_for_what_it_fetches_ends_its_run_and_fails_no_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, plan, out = World(), tmp_path / "plan.jsonl", tmp_path / "out"
    assert world.command("archive", "plan", "s3://talks/in/deep/", "-o", plan) == 0
    full = Path("/dev/full").open  # every write to it is refused
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: full("r+b", buffering=0))
    assert world.command("archive", "run", plan, "-o", out) == 1
    assert "TMPDIR" in capsys.readouterr().err
    world.command("archive", "status", plan, "-o", out, "--json")
    assert json.loads(capsys.readouterr().out)["failures"] == {}
    monkeypatch.undo()
    assert world.command("archive", "run", plan, "-o", out) == 0
    assert len(world.transcribed) == 2


def test_a_storage_that_does_not_answer_may_do_so_later() -> None:
    def refuse(_uri: str, name: str) -> BinaryIO:
        raise MediaUnreachable(name, "timeout")

    with Opener(refuse) as opener:
        for _, source in opener.sources([Row("x", "s3://b/x.wav")]):
            with pytest.raises(MediaUnreachable):
                source.open()


@pytest.mark.usefixtures("server")
def test_objects_are_fetched_ahead_and_come_in_their_order() -> None:
    asked = list[str]()

    def recorded(uri: str, name: str) -> BinaryIO:
        asked.append(uri)
        return fetch("s3://talks/in/a.wav", name)

    rows = [Row(str(n), f"s3://b/{n}.wav") for n in range(20)]
    with Opener(recorded) as opener:
        for row, source in opener.sources(rows):
            with source.open() as file:
                assert file.read() == TEXTS["a.wav"].encode()
            assert len(asked) <= int(row.id) + AHEAD + 1
    assert sorted(asked) == sorted(row.uri for row in rows)


@pytest.mark.usefixtures("server")
def test_an_empty_object_is_empty_media() -> None:
    with Opener() as opener:
        [(_, source)] = opener.sources([Row("x", "s3://talks/in/empty.wav")])
        with pytest.raises(MediaEmpty):
            source.open()


@pytest.mark.usefixtures("server")
def test_from_a_bucket_to_merged_results(tmp_path: Path) -> None:
    world, plan, out = World(), tmp_path / "plan.parquet", tmp_path / "out"
    assert world.command("archive", "plan", "s3://talks/in/", "-o", plan) == 0
    assert world.command("archive", "run", plan, "-o", out) == 0
    assert sorted(world.transcribed) == sorted(name.rpartition("/")[2] for name in TEXTS)
    assert world.command("archive", "merge", plan, "-o", out, "--to", tmp_path / "m", "-f", "jsonl,txt") == 0
    records = [json.loads(line) for line in (tmp_path / "m/results.jsonl").read_text().splitlines()]
    heard = {one["uri"]: one["result"]["text"] if "result" in one else one["error"]["type"] for one in records}
    assert heard == {f"s3://talks/in/{name}": text for name, text in TEXTS.items()} | {
        "s3://talks/in/broken.wav": "MediaDamaged",
        "s3://talks/in/empty.wav": "MediaEmpty",
    }
    assert (tmp_path / "m/texts/deep/er/c ü.txt").read_text() == "four five six\n"


@pytest.mark.usefixtures("server")
def test_an_object_that_was_changed_is_another_recording() -> None:
    from autorag_whisper.archive.sharded.listing import BY_CONTENT, identity

    [one] = Listing(["s3://talks/in/a.wav"]).candidates()
    changed = Candidate(one.uri, one.size_bytes, None, "another tag")
    assert identity(one, BY_CONTENT) != identity(changed, BY_CONTENT)

"""The arbiter's folder under attack: any file deleted, cut off, replaced, foreign, or the folder gone, at any time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.domain.errors import GpuBusy, GpuDirectoryUnsafe
from autorag_whisper.gpu.arbiter import facts
from autorag_whisper.gpu.arbiter.directory import Directory
from autorag_whisper.gpu.arbiter.lease import AtDeadline, LeaseRequest, Released, Tenant
from autorag_whisper.gpu.arbiter.processes import ProcessArbiter
from autorag_whisper.gpu.arbiter.status import look
from examples import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the arbiter across processes is Linux's")

SOON = LeaseRequest(timeout_s=0.2)
PATIENT = LeaseRequest(timeout_s=20.0)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
KNOWN = st.sampled_from(["tenant", "owner", "number", "needs_bytes", "held_bytes", "deadline_s", "since_s", "version"])
GARBAGE = st.one_of(
    st.binary(max_size=40),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(KNOWN, JSON, max_size=7).map(lambda value: json.dumps(value).encode()),
    st.just(b"[" * 4000),
)


class Shared:
    """Two processes' arbiters over one folder, as two objects, and what their tenants were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.one, self.other = ProcessArbiter(folder), ProcessArbiter(folder)
        self.one.register(Tenant("whisper", self._offload("whisper"), lambda: 7))
        self.other.register(Tenant("llm", self._offload("llm"), lambda: 5))

    def _offload(self, name: str) -> Callable[[object], Released]:
        def act(_wanted: object) -> Released:
            self.asked.append(name)
            return Released()

        return act

    def close(self) -> None:
        self.one.close()
        self.other.close()


@contextmanager
def shared() -> Iterator[Shared]:
    parent = Path(tempfile.mkdtemp())
    world = Shared(parent / "run" / "gpu")
    try:
        yield world
    finally:
        world.close()
        shutil.rmtree(parent, ignore_errors=True)


def gone(folder: Path) -> None:
    shutil.rmtree(folder.parent)


def emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def cut_off(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():
            os.truncate(path, path.stat().st_size // 2)


def replaced(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file() and path.name != "grant":
            path.unlink()
            path.write_text('{"version": 9}')


def made_folders(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != "grant":
            path.unlink()
            path.mkdir()


def made_fifos(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != "grant":
            path.unlink()
            os.mkfifo(path)


def strange_names(folder: Path) -> None:
    for name in (
        "x.ticket",
        "-1.ticket",
        "\u0663.ticket",
        "0000000001.ticket",
        ".claim",
        "a-b.claim",
        "9" * 30 + ".ticket",
    ):
        (folder / name).write_text("{}")


ATTACKS = (gone, emptied, cut_off, replaced, made_folders, made_fifos, strange_names)


@pytest.mark.parametrize("attack", ATTACKS)
def test_between_leases_it_costs_nothing(attack: Callable[[Path], None]) -> None:
    # A logout removed the runtime directory: every later job failed with FileNotFoundError.
    with shared() as world:
        with world.one.lease("whisper", PATIENT) as lease:
            before = lease.epoch
        attack(world.folder)
        with world.other.lease("llm", PATIENT) as lease:
            assert lease.on_card
            between = lease.epoch
        with world.one.lease("whisper", PATIENT) as lease:
            assert before < between < lease.epoch
        assert world.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("attack", ATTACKS)
def test_while_one_holds_the_card_nobody_else_gets_it_until_it_is_given_back(attack: Callable[[Path], None]) -> None:
    with shared() as world:
        with world.one.lease("whisper", PATIENT) as held:
            attack(world.folder)
            for _ in range(2):
                with pytest.raises(GpuBusy), world.other.lease("llm", SOON):
                    pass
            _ = held.should_yield
        with world.other.lease("llm", PATIENT) as lease:
            assert lease.epoch > held.epoch


@given(st.lists(st.tuples(st.sampled_from(["ticket", "claim", "grant", "sock", "new"]), GARBAGE), max_size=5))
@examples(40, deadline=None)
def test_whatever_the_files_say_the_card_changes_hands_and_status_can_be_told(files: list[tuple[str, bytes]]) -> None:
    with shared() as world:
        with world.one.lease("whisper", PATIENT):
            for n, (kind, data) in enumerate(files):
                name = "grant" if kind == "grant" else f"{n:010d}.ticket" if kind == "ticket" else f"x-{n}.{kind}"
                with (world.folder / name).open("r+b" if kind == "grant" else "wb") as file:
                    file.truncate(0)
                    file.write(data)
            look(world.folder, 0.0)
            with pytest.raises(GpuBusy), world.other.lease("llm", LeaseRequest(timeout_s=0.02)):
                pass
        with world.other.lease("llm", PATIENT) as lease:
            assert lease.on_card
            look(world.folder, 0.0)


@given(GARBAGE)
def test_facts_are_understood_or_are_none(data: bytes) -> None:
    found = facts.parse(data)
    held, ticket, reservation = facts.grant_of(found), facts.ticket_of(3, found), facts.reservation_of("a-b", found)
    for one in (held, ticket, reservation):
        if one is not None:
            assert isinstance(one.tenant, str)
            assert isinstance(one.owner, str)


def test_facts_of_a_later_version_that_has_more_of_them_are_understood() -> None:
    known = {
        "tenant": "llm",
        "owner": "7-1",
        "number": 3,
        "since_s": 1,
        "needs_bytes": 0,
        "held_bytes": 2,
        "deadline_s": 9,
    }
    more: dict[str, Any] = {**known, "priority": [1], "version": "9"}
    assert facts.grant_of(more) is not None
    assert facts.ticket_of(3, more) is not None
    assert facts.reservation_of("llm-7-1", more) is not None
    for name in ("tenant", "owner"):
        assert facts.ticket_of(3, {key: value for key, value in more.items() if key != name}) is None


def test_foreign_facts_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = Directory(tmp_path / "gpu")
    _, file = directory.draw({"tenant": "whisper", "version": 9})
    for _ in range(3):
        assert directory.waiting() == []
    assert sum("does not know" in record.message for record in caplog.records) == 1
    file.close()


def test_a_tenants_reservation_is_there_again_and_it_is_asked_to_leave() -> None:
    with shared() as world:
        with world.one.lease("whisper", PATIENT):
            pass
        gone(world.folder)
        world.one._republish()
        with world.other.lease("llm", PATIENT):
            assert world.asked == ["whisper"]


def test_its_listener_notices_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autorag_whisper.gpu.arbiter.eviction_requests.LOOKS_S", 0.02)
    with shared() as world:
        with world.one.lease("whisper", PATIENT):
            pass
        emptied(world.folder)
        [box] = world.one._listeners.values()
        while not box.is_there or not list(world.folder.glob("whisper-*.claim")):
            os.sched_yield()
        with world.other.lease("llm", PATIENT):
            assert world.asked == ["whisper"]


def test_a_folder_that_cannot_be_made_again_is_told_or_answered_by_the_cpu() -> None:
    with shared() as world:
        gone(world.folder)
        world.folder.parent.write_text("a file in its place")
        with pytest.raises(GpuDirectoryUnsafe, match="AUTORAG_WHISPER_GPU_DIR"), world.one.lease("whisper", SOON):
            pass
        with world.one.lease("whisper", LeaseRequest(timeout_s=1.0, at_deadline=AtDeadline.CPU)) as lease:
            assert not lease.on_card
        world.folder.parent.unlink()
        with world.one.lease("whisper", PATIENT) as lease:
            assert lease.on_card


def test_the_end_of_a_lease_is_no_error_where_the_folder_cannot_be_written() -> None:
    with shared() as world:
        with world.one.lease("whisper", PATIENT):
            gone(world.folder)
            world.folder.parent.write_text("a file in its place")
        world.folder.parent.unlink()
        with world.other.lease("llm", PATIENT) as lease:
            assert lease.on_card


def test_a_grant_that_is_no_file_is_told(tmp_path: Path) -> None:
    arbiter = ProcessArbiter(tmp_path / "gpu")
    arbiter.register(Tenant("whisper"))
    (tmp_path / "gpu" / "grant").mkdir()
    with pytest.raises(GpuDirectoryUnsafe, match="grant"), arbiter.lease("whisper", SOON):
        pass
    arbiter.close()


HOLD = """
import sys
from pathlib import Path
from autorag_whisper.gpu.arbiter.lease import Tenant, LeaseRequest
from autorag_whisper.gpu.arbiter.processes import ProcessArbiter
arbiter = ProcessArbiter(Path(sys.argv[1]))
arbiter.register(Tenant("llm"))
with arbiter.lease("llm", LeaseRequest(timeout_s=20)):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("killed", [False, True])
def test_a_holder_in_another_process_keeps_the_card_though_the_folder_is_gone_until_it_ends(
    tmp_path: Path, killed: bool
) -> None:
    folder = tmp_path / "run" / "gpu"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    gone(folder)
    arbiter = ProcessArbiter(folder)  # one that never saw the old folder
    arbiter.register(Tenant("whisper"))
    with pytest.raises(GpuBusy), arbiter.lease("whisper", SOON):
        pass
    if killed:
        holder.kill()
    with suppress(BrokenPipeError):
        holder.stdin.close()
    with arbiter.lease("whisper", PATIENT) as lease:
        assert lease.on_card
    assert holder.wait(20) == (-9 if killed else 0)
    holder.stdout.close()
    arbiter.close()

"""The folder through which processes share a card: who may use it, and what the dead leave behind."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from autorag_whisper.domain.errors import GpuBusy, GpuDirectoryUnsafe
from autorag_whisper.gpu.arbiter import core, facts
from autorag_whisper.gpu.arbiter.directory import Directory, LockedFile
from autorag_whisper.gpu.arbiter.directory import _open_files as still_open
from autorag_whisper.gpu.arbiter.eviction_requests import EvictionRequest, send
from autorag_whisper.gpu.arbiter.lease import LeaseRequest, Released, Tenant
from autorag_whisper.gpu.arbiter.processes import ProcessArbiter
from autorag_whisper.gpu.arbiter.status import look
from descriptors import open_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FACTS: dict[str, object] = {"tenant": "whisper", "owner": "p1", "deadline_s": 1e9, "needs_bytes": 0}


def test_the_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    Directory(tmp_path / "new" / "gpu")
    assert (tmp_path / "new" / "gpu").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("what", ["others may look", "a link", "a file", "someone else's"])
def test_a_folder_that_others_could_write_to_is_refused(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "gpu"
    if what == "a file":
        folder.write_text("")
    elif what == "a link":
        (tmp_path / "real").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "real")
    else:
        folder.mkdir(mode=0o755 if what == "others may look" else 0o700)
    if what == "someone else's":
        if os.getuid() != 0:
            pytest.skip("only root can give a folder away")
        os.chown(folder, 12345, 12345)
    with pytest.raises(GpuDirectoryUnsafe, match="AUTORAG_WHISPER_GPU_DIR"):
        Directory(folder)


def test_numbers_never_come_again_also_when_nobody_is_left(tmp_path: Path) -> None:
    numbers = []
    for _ in range(4):
        directory = Directory(tmp_path / "gpu")
        number, file = directory.draw(FACTS)
        numbers.append(number)
        file.close()
        assert directory.waiting() == []
    assert numbers == [numbers[0] + n for n in range(4)]
    assert len(list((tmp_path / "gpu").glob("*.ticket"))) == 1


def test_who_drew_on_an_old_view_of_the_folder_draws_again(tmp_path: Path) -> None:
    # A process that was stopped between looking and drawing would come in under the number of one long served.
    directory = Directory(tmp_path / "gpu")
    drawn = [directory.draw(FACTS) for _ in range(3)]
    for _, file in drawn:
        file.close()
    directory.waiting()
    first = drawn[0][0]
    old = iter([[first - 1]])
    numbers = directory._numbers
    directory._numbers = lambda: next(old, None) or numbers()  # type: ignore[method-assign]  # one look at the past
    number, file = directory.draw(FACTS)
    assert number == first + 3
    file.close()


def test_a_ticket_is_never_seen_without_its_lock(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "gpu")
    number, file = directory.draw(FACTS)
    assert [ticket.number for ticket in directory.waiting()] == [number]
    assert not list((tmp_path / "gpu").glob("*.new"))
    file.close()


def test_a_forked_child_does_not_keep_its_parents_lease(tmp_path: Path) -> None:
    program = f"""
import os, time
from pathlib import Path
from autorag_whisper.gpu.arbiter.lease import Tenant
from autorag_whisper.gpu.arbiter.eviction_requests import EvictionRequest, send
from autorag_whisper.gpu.arbiter.processes import ProcessArbiter
arbiter = ProcessArbiter(Path({str(tmp_path / "gpu")!r}))
arbiter.register(Tenant("whisper"))
with arbiter.lease("whisper"):
    if os.fork() == 0:
        print("forked", flush=True)
        os.read(0, 1)
        os._exit(0)
    os.kill(os.getpid(), 9)
"""
    started = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with started as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"forked\n"
        process.wait(60)
        arbiter = ProcessArbiter(tmp_path / "gpu")
        arbiter.register(Tenant("llm"))
        with arbiter.lease("llm", LeaseRequest(timeout_s=60.0)) as lease:
            assert lease.on_card
        arbiter.close()


def test_what_a_dead_process_kept_on_the_card_counts_no_more(tmp_path: Path) -> None:
    program = f"""
import os
from pathlib import Path
from autorag_whisper.gpu.arbiter.lease import Released, Tenant, LeaseRequest
from autorag_whisper.gpu.arbiter.eviction_requests import EvictionRequest, send
from autorag_whisper.gpu.arbiter.processes import ProcessArbiter
arbiter = ProcessArbiter(Path({str(tmp_path / "gpu")!r}))
arbiter.register(Tenant("llm", lambda wanted: Released(), lambda: 90))
with arbiter.lease("llm", LeaseRequest(90)):
    pass
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", program], check=False, timeout=240)
    assert list((tmp_path / "gpu").glob("*.claim"))
    arbiter = ProcessArbiter(
        tmp_path / "gpu", read_free=lambda: 100 - sum(kept.held_bytes for kept in look(tmp_path / "gpu", 0.0).kept)
    )
    arbiter.register(Tenant("whisper"))
    with arbiter.lease("whisper", LeaseRequest(50, 60.0)) as lease:
        assert lease.on_card
    assert not list((tmp_path / "gpu").glob("*.claim"))
    assert not list((tmp_path / "gpu").glob("*.sock"))
    arbiter.close()


def test_an_eviction_request_that_comes_too_late_is_not_carried_out(tmp_path: Path) -> None:
    # Its asker gave up; by now this process may compute with what it was to free.
    offloads: list[object] = []

    def leave(wanted: object) -> Released:
        offloads.append(wanted)
        return Released()

    arbiter = ProcessArbiter(tmp_path / "gpu")
    arbiter.register(Tenant("whisper", leave))
    with arbiter.lease("whisper") as lease:
        [box] = (tmp_path / "gpu").glob("*.sock")
        released = send(EvictionRequest(lease.epoch - 1, "llm", 0), box, 60.0)
    assert (released.verified, released.note) == (False, "asked too late")
    assert offloads == []
    arbiter.close()


def test_a_ticket_whose_turn_came_after_a_later_ones_does_not_get_the_card(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "gpu")
    _, early = directory.draw(FACTS)
    grant = directory.take_grant()
    assert grant is not None
    grant.write({"number": 2, "tenant": "llm", "owner": "p2", "since_s": 0.0, "needs_bytes": 0})
    grant.close()
    arbiter = ProcessArbiter(tmp_path / "gpu")
    ticket = core.Ticket(1, "whisper", "p1", 1e9)
    grant = directory.take_grant()
    assert grant is not None
    assert arbiter._make_ours(ticket, grant) == "a later ticket had its turn"
    assert directory.held() is None
    early.close()
    arbiter.close()


def test_while_a_holder_lets_go_the_one_behind_it_is_next_in_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever saw the holder's ticket beside a free grant slept for as long as one who has others before it.
    holder, behind = ProcessArbiter(tmp_path / "gpu"), ProcessArbiter(tmp_path / "gpu")
    holder.register(Tenant("llm"))
    really_close, next_in_line = LockedFile.close, []

    def close_and_look(file: LockedFile) -> None:
        really_close(file)
        next_in_line.append(behind._seen().head)

    with holder.lease("llm"):
        number, ticket = behind.directory.draw(FACTS)
        monkeypatch.setattr(LockedFile, "close", close_and_look)
    monkeypatch.undo()
    assert next_in_line == [core.Ticket(number, "whisper", "p1", 1e9)] * 2
    ticket.close()


def test_who_looks_while_a_holder_lets_go_is_next_in_line(tmp_path: Path) -> None:
    holder, behind = ProcessArbiter(tmp_path / "gpu"), ProcessArbiter(tmp_path / "gpu")
    holder.register(Tenant("llm"))
    with ExitStack() as lease:
        lease.enter_context(holder.lease("llm"))
        number, ticket = behind.directory.draw(FACTS)

        def and_then_it_goes(look: Callable[[], Any]) -> Callable[[], Any]:
            def looked() -> Any:
                found = look()
                lease.close()
                return found

            return looked

        for look in ("held", "waiting"):
            setattr(behind.directory, look, and_then_it_goes(getattr(behind.directory, look)))
        assert behind._seen().head == core.Ticket(number, "whisper", "p1", 1e9)
    ticket.close()


def test_who_is_next_in_line_reads_the_folder_no_more(tmp_path: Path) -> None:
    looks = 0

    def look() -> LockedFile | None:
        nonlocal looks
        looks += 1
        if looks == 1:
            behind.directory.waiting = lambda: pytest.fail("read")  # type: ignore[method-assign]  # this one alone
        if looks == 5:
            grant.close()
        return take()

    behind = ProcessArbiter(tmp_path / "gpu")
    behind.register(Tenant("whisper"))
    grant = behind.directory.take_grant()
    assert grant is not None
    grant.write({"number": 0, "tenant": "llm", "owner": "p2", "since_s": 0.0, "needs_bytes": 0})
    take = behind.directory.take_grant
    behind.directory.take_grant = look  # type: ignore[method-assign]  # this one alone
    with behind.lease("whisper") as lease:
        assert lease.on_card
    assert looks == 5
    behind.close()


def test_who_waits_is_told_of_a_holder_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import os
from pathlib import Path
from autorag_whisper.gpu.arbiter.directory import Directory
grant = Directory(Path({str(tmp_path / "gpu")!r})).take_grant()
print("held", flush=True)
os.read(0, 1)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        directory = Directory(tmp_path / "gpu")
        with directory.watch() as watch:
            assert directory.take_grant() is None
            assert not watch.wait(0)
            process.kill()
            assert watch.wait(60)


def test_nobody_is_told_of_a_holder_that_was_gone_before_nor_of_one_who_found_the_grant_taken(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "gpu")
    for _ in range(2):
        grant = directory.take_grant()
        assert grant is not None
        grant.close()
    holder = directory.take_grant()
    assert holder is not None
    with directory.watch() as watch:
        assert directory.take_grant() is None
        assert directory.held() is None  # as it has said nothing of itself
        assert not watch.wait(0.01)
    holder.close()


def test_nothing_is_left_open_when_an_arbiter_is_closed(tmp_path: Path) -> None:
    before = open_files()
    arbiter = ProcessArbiter(tmp_path / "gpu")
    arbiter.register(Tenant("whisper", lambda _wanted: Released(), lambda: 5))
    with arbiter.lease("whisper"):
        other = ProcessArbiter(tmp_path / "gpu")
        other.register(Tenant("llm"))
        with pytest.raises(GpuBusy), other.lease("llm", LeaseRequest(timeout_s=0.0)):
            pass
        other.close()
    arbiter.close()
    assert open_files() - before == Counter()


@pytest.mark.parametrize("number", [facts.HIGHEST, 10**18 - 1])
def test_a_number_that_is_none_of_ours_holds_nobody_up(tmp_path: Path, number: int) -> None:
    # The next one has a digit too many to be seen: whoever drew looked for its own ticket for ever.
    directory = Directory(tmp_path / "gpu")
    (tmp_path / "gpu" / f"{number}.ticket").write_text("{}")
    drawn, file = directory.draw(FACTS)
    assert drawn < facts.HIGHEST
    file.close()


def test_a_folder_whose_numbers_are_used_up_says_so(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "gpu")
    (tmp_path / "gpu" / f"{facts.HIGHEST - 1}.ticket").write_text("{}")
    with pytest.raises(GpuDirectoryUnsafe, match="99999999999999999"):
        directory.draw(FACTS)


@pytest.mark.parametrize("what", ["link", "ftruncate"])
def test_a_ticket_that_cannot_be_written_is_told_and_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    directory, before = Directory(tmp_path / "gpu"), set(still_open)
    monkeypatch.setattr(os, what, refuse)
    with pytest.raises(GpuDirectoryUnsafe, match="No space left"):
        directory.draw(FACTS)
    assert set(still_open) == before
    assert list((tmp_path / "gpu").iterdir()) == []


def test_a_reservation_that_cannot_be_put_there_is_told_and_leaves_nothing_open(tmp_path: Path) -> None:
    directory, before = Directory(tmp_path / "gpu"), set(still_open)
    (tmp_path / "gpu" / "whisper-p1.claim").mkdir()
    with pytest.raises(GpuDirectoryUnsafe, match="reservation"):
        directory.reserve(core.Reservation("whisper", "p1", 5))
    assert set(still_open) == before
    assert [path.name for path in (tmp_path / "gpu").iterdir()] == ["whisper-p1.claim"]


def test_a_folder_that_cannot_be_made_again_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = tmp_path / "home"
    arbiter = ProcessArbiter(home / "gpu")
    arbiter.register(Tenant("whisper", lambda _: Released()))
    shutil.rmtree(home)
    home.write_text("")
    for _ in range(5):
        arbiter._republish()
    assert sum("cannot be asked" in record.message for record in caplog.records) == 1
    assert sum("was taken away" in record.message for record in caplog.records) == 1
    home.unlink()
    arbiter._republish()
    assert list((home / "gpu").glob("*.sock"))
    arbiter.close()

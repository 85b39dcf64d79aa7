"""The folder through which processes share a card: who may use it, and what the dead leave behind."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from autorag_whisper.gpu.arbiter import processes
from autorag_whisper.gpu.arbiter.directory import Directory, LockedFile
from autorag_whisper.gpu.arbiter.lease import Tenant
from autorag_whisper.gpu.arbiter.processes import ProcessArbiter

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_who_is_next_in_line_is_told_and_need_not_look_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_POLL_S", 3600.0)
    holder, behind = ProcessArbiter(tmp_path / "gpu"), ProcessArbiter(tmp_path / "gpu")
    holder.register(Tenant("llm"))
    behind.register(Tenant("whisper"))
    found_taken = threading.Event()
    take = behind.directory.take_grant

    def look() -> LockedFile | None:
        grant = take()
        if grant is None:
            found_taken.set()
        return grant

    behind.directory.take_grant = look  # type: ignore[method-assign]  # this one alone

    def wait_for_it() -> int:
        with behind.lease("whisper") as lease:
            return lease.epoch

    with ThreadPoolExecutor(1) as pool:
        with holder.lease("llm") as before:
            turn = pool.submit(wait_for_it)
            assert found_taken.wait(60)
        assert turn.result() == before.epoch + 1
    holder.close()
    behind.close()


def test_who_is_told_that_the_grant_was_let_go_finds_it_free(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "gpu")
    with ThreadPoolExecutor(1) as pool:
        for _ in range(200):
            grant = directory.take_grant()
            assert grant is not None
            with directory.watch() as watch:
                pool.submit(grant.close)
                assert watch.wait(60)
                again = directory.take_grant()
            assert again is not None
            again.close()

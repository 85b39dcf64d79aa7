"""Waiting until nothing more happens by itself, in place of a sleep that is long enough most of the time."""

from __future__ import annotations

import threading
from pathlib import Path

_THREADS = Path("/proc/self/task")
_LOOKS = 4
_looking = set[int]()


def until_quiet(timeout_s: float = 120.0) -> None:
    """Wait until every other thread of this process is blocked, here or elsewhere: what they could do they have done.

    A thread that is ready to run counts as busy, however long this machine lets it wait. Not for a process with threads
    that wake up every few milliseconds. Without Linux's /proc it is half a second.
    """
    pause = threading.Event()
    if not _THREADS.is_dir():
        pause.wait(0.5)
        return
    _looking.add(threading.get_native_id())
    before: dict[str, str] | None = None
    quiet = 0
    try:
        for _ in range(round(timeout_s / 0.01)):
            pause.wait(0.01)
            now = _blocked()
            quiet = quiet + 1 if now is not None and now == before else 0
            before = now
            if quiet == _LOOKS:
                return
    finally:
        _looking.discard(threading.get_native_id())
    raise AssertionError(f"some thread is still at work: {threading.enumerate()}")


def _blocked() -> dict[str, str] | None:
    """How often each other thread was blocked so far, which changes when it goes on; None if one of them is running."""
    found = {}
    for task in _THREADS.iterdir():
        if int(task.name) in _looking:
            continue
        try:
            lines = (task / "status").read_text(encoding="ascii").splitlines()
        except OSError:  # it has ended
            return None
        told = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        if not told["State"].startswith("S"):
            return None
        found[task.name] = told["voluntary_ctxt_switches"]
    return found

"""Processes of a Ray cluster that a test has begun: found below who began it, and ended with its session."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOPBACK = {"127.0.0.1", "::1"}


def below(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def named(process: psutil.Process, *parts: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return any(part in " ".join(process.cmdline()) for part in parts)
    return False


def until(what: Callable[[], Any], process: subprocess.Popen[bytes], log: Path, patience_s: float = 600.0) -> Any:
    """What `what` gives once it is true, while the process runs."""
    ends = time.monotonic() + patience_s
    while not (found := what()):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < ends, log.read_text()
        threading.Event().wait(0.05)
    return found


def exit_code(process: subprocess.Popen[bytes], log: Path, patience_s: float = 500.0) -> int:
    """Of a process that has `PYTHONFAULTHANDLER`: where it hangs, its threads stand in what fails the test."""
    try:
        return process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        pytest.fail(f"it hangs\n{log.read_text()}")


def end(process: subprocess.Popen[bytes]) -> None:
    """A driver that was killed leaves its cluster: end what is in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def listened_on(process: subprocess.Popen[bytes]) -> set[str]:
    """Addresses that the process, and what it has begun, listen on."""
    found = set()
    for each in (psutil.Process(process.pid), *below(process)):
        with contextlib.suppress(psutil.Error):
            listening = [one for one in each.net_connections("inet") if one.status == psutil.CONN_LISTEN]
            found |= {one.laddr.ip.removeprefix("::ffff:") for one in listening}
    return found

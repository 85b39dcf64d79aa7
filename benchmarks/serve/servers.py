"""Servers as processes: started on a free port of the loopback address, asked until they answer, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

START_S = 180.0
END_S = 60.0


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """How a server is started: `command` with `{port}` in it. `fields`: what its form is sent beside the file."""

    name: str
    told: str
    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


class Served:
    """A server that runs."""

    def __init__(self, choice: ServerChoice, process: subprocess.Popen[bytes], port: int) -> None:
        self.choice, self.process = choice, process
        self.base = f"http://127.0.0.1:{port}"

    @property
    def processes(self) -> list[psutil.Process]:
        """It, and what it has started."""
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    @property
    def lasting(self) -> list[psutil.Process]:
        """It, and what it has started itself: ours has its worker there, whose decoders come and go."""
        first = psutil.Process(self.process.pid)
        return [first, *first.children()]

    def memory_mb(self) -> float:
        """What all its processes hold of memory that no other has."""
        return sum(filter(None, map(_memory_mb, self.processes)))

    def memory_of(self) -> dict[int, float]:
        """The same of each that lasts, by its process id."""
        return {process.pid: mb for process in self.lasting if (mb := _memory_mb(process)) is not None}

    def descriptors(self) -> list[int]:
        """How many open files each that lasts has."""
        return [process.num_fds() for process in self.lasting]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Its exit code and how long that took, in seconds; killed after a minute."""
        began = time.perf_counter()
        left = self.processes if self.process.poll() is None else []
        self.process.send_signal(number)
        try:
            code = self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        took_s = time.perf_counter() - began
        for process in left:
            if process.is_running():
                process.kill()
        self.process.wait()
        return code, took_s


def _memory_mb(process: psutil.Process) -> float | None:
    """None where it has ended."""
    try:
        return float(process.memory_full_info().uss / (1 << 20))
    except psutil.NoSuchProcess:
        return None


@contextmanager
def served(choice: ServerChoice) -> Iterator[Served]:
    """The server, once it accepts connections. Raises RuntimeError with what it said where it does not."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [part.replace("{port}", str(port)) for part in choice.command],
            env=os.environ | dict(choice.environ),
            stdout=log,
            stderr=log,
            cwd=choice.cwd,
        )
        server = Served(choice, process, port)
        try:
            if not _accepts(port, process):
                log.seek(0)
                raise RuntimeError(f"{choice.name} does not start:\n{log.read().decode(errors='replace')[-2000:]}")
            _wait_until_ready(server)
            yield server
        finally:
            server.end()


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _accepts(port: int, process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return True
        _rest()
    return False


def _wait_until_ready(server: Served) -> None:
    """Until ours says so; others have no such route, and are ready when they accept connections."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            if httpx.get(f"{server.base}/readyz", trust_env=False).status_code != 503:
                return
        except httpx.HTTPError:
            pass
        _rest()


def _rest() -> None:
    threading.Event().wait(0.05)

"""A process that takes lease after lease of one card and writes down what it saw.

    arbiter_player.py FOLDER TENANT LOG

While it has the card it holds a lock of its own, which two holders at once could not both have.
"""

from __future__ import annotations

import fcntl
import os
import random
import sys
import time
from pathlib import Path

from autorag_whisper.domain.errors import GpuBusy
from autorag_whisper.gpu.arbiter.lease import Eviction, LeaseRequest, Released, Tenant
from autorag_whisper.gpu.arbiter.processes import ProcessArbiter
from autorag_whisper.gpu.arbiter.status import look

PATIENCE_S = 0.5
CARD_BYTES, NEEDS = 100, 60


def main(folder: Path, tenant: str, log: Path) -> None:
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    inside = os.open(log.with_suffix(".inside"), os.O_RDWR | os.O_CREAT, 0o600)

    def say(what: str, *facts: object) -> None:
        os.write(out, (" ".join(map(str, (what, os.getpid(), tenant, time.monotonic(), *facts))) + "\n").encode())

    held = [0]

    def leave(_: Eviction) -> Released:
        held[0] = 0
        return Released()

    def free_bytes() -> int:
        return CARD_BYTES - sum(kept.held_bytes for kept in look(folder, time.monotonic()).kept)

    arbiter = ProcessArbiter(folder, read_free=free_bytes)
    arbiter.register(Tenant(tenant, leave, lambda: held[0]))
    say("ready")
    while True:
        asked = time.monotonic()
        try:
            with arbiter.lease(tenant, LeaseRequest(0 if held[0] else NEEDS, PATIENCE_S)) as lease:
                try:
                    fcntl.flock(inside, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    say("VIOLATION", lease.epoch)
                held[0] = NEEDS
                say("in", lease.epoch)
                time.sleep(random.uniform(0.001, 0.02))
                say("out", lease.epoch)
                fcntl.flock(inside, fcntl.LOCK_UN)
        except GpuBusy:
            say("busy", time.monotonic() - asked)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))

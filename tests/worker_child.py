"""A worker process over fakes, that does what a test wants of it: `worker_child.py FOLDER FD`.

Files in FOLDER are its orders: `kill-at-N` kills the process when it hears N words (once, if the file says "once");
`raise-at-N` has it raise what nobody expects; `hold-at-N` has it wait there until the file is gone; `grow-at-N` has
it take 300 MB; `die-at-start`. With `card` it has a card, whose context breaks for good when it hears N words, once,
with `break-at-N`; `broke` then has its id.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from autorag_whisper.domain.device import FailureCause
from autorag_whisper.domain.errors import DeviceError
from autorag_whisper.testing import FakeWhisper
from autorag_whisper.worker.child import Line, Worker
from run_world import CARD, NO_CARD, World

if TYPE_CHECKING:
    import numpy as np

    from autorag_whisper.engines.base import Hypothesis

_kept: list[bytearray] = []


def main(folder: Path, descriptor: int) -> None:
    if (folder / "die-at-start").exists():
        os._exit(3)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pause = threading.Event()

    def script(features: np.ndarray) -> Hypothesis:
        found = FakeWhisper()._count(features)
        words = len(FakeWhisper().tokenizer.decode(found.token_ids).split())
        (folder / "heard").open("a").write(f"{words}\n")
        kill = folder / f"kill-at-{words}"
        if kill.exists():
            if kill.read_text() == "once":
                kill.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if (folder / f"break-at-{words}").exists():
            (folder / f"break-at-{words}").unlink()
            (folder / "broke").write_text(str(os.getpid()))
            raise DeviceError("cuda", FailureCause.STICKY, "generate: CUDA failed with error an illegal memory access")
        if (folder / f"raise-at-{words}").exists():
            raise IndexError("nobody expects this")
        while (folder / f"hold-at-{words}").exists():
            pause.wait(0.01)
        if (folder / f"grow-at-{words}").exists():
            (folder / f"grow-at-{words}").unlink()
            _kept.append(bytearray(os.urandom(1 << 20) * 300))
        return found

    hardware = CARD if (folder / "card").exists() else NO_CARD
    Worker(
        Line(Connection(descriptor)), lambda telemetry: World(hardware, script=script, telemetry=telemetry).transcriber
    ).serve()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

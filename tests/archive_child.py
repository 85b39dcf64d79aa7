"""`archive` over fakes, in a process that a recording may kill: `archive_child.py FOLDER ARGUMENTS...`.

A file `FOLDER/kill-at-N` has the process send itself SIGKILL when it hears N words: this one, and the worker process
that it begins (`worker_child.py`); a `raise-at-N` has both raise what nobody expects; a `hold-at-N` has it wait there
while the file is there. With `FOLDER/no-worker` there is none, as on Windows and in an actor of Ray. `FOLDER/heard`
gets a line of every chunk that is recognised, its number of words, and `FOLDER/loads` one of each load.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from autorag_whisper import cli
from autorag_whisper.cli.context import CommandContext
from autorag_whisper.testing import FakeWhisper
from autorag_whisper.worker.client import WorkerTranscriber
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from autorag_whisper.domain.device import Device
    from autorag_whisper.engines.base import Hypothesis
    from autorag_whisper.settings import Settings
    from autorag_whisper.transcriber.supervised import SupervisedTranscriber

WORKER = Path(__file__).parent / "worker_child.py"


def hear(folder: Path, features: np.ndarray) -> Hypothesis:
    found = FakeWhisper()._count(features)
    words = len(FakeWhisper().tokenizer.decode(found.token_ids).split())
    with (folder / "heard").open("a") as heard:
        heard.write(f"{words}\n")
    if (folder / f"kill-at-{words}").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    if (folder / f"raise-at-{words}").exists():
        raise IndexError("nobody expects this")
    while (folder / f"hold-at-{words}").exists():
        threading.Event().wait(0.01)
    return found


def main(folder: Path, arguments: list[str]) -> int:
    def build(_settings: Settings, _environ: Mapping[str, str]) -> SupervisedTranscriber:
        world = World(script=partial(hear, folder))
        world.fail_load = loaded
        return world.transcriber

    def loaded(_device: Device) -> None:
        with (folder / "loads").open("a") as loads:
            loads.write(f"{os.getpid()}\n")

    def worker(_settings: Settings, environ: Mapping[str, str]) -> WorkerTranscriber:
        return WorkerTranscriber(environ=environ, program=(sys.executable, str(WORKER), str(folder)))

    signal.signal(signal.SIGTERM, cli._terminate)
    context = CommandContext(build=build, worker=None if (folder / "no-worker").exists() else worker)
    return cli.run(["archive", *arguments], context)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))

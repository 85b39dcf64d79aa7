"""The command over a fake engine: `resuming_child.py FOLDER ARGUMENTS...`.

`FOLDER/heard` gets a line of every chunk that is recognised, its number of words. A file `FOLDER/NAME-at-N` has the
process send itself the signal NAME when it hears N words, once; a `hold-at-N` has it wait while the file is there.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from autorag_whisper import cli
from autorag_whisper.cli.context import CommandContext
from autorag_whisper.testing import FakeWhisper
from run_world import World

if TYPE_CHECKING:
    import numpy as np

    from autorag_whisper.engines.base import Hypothesis


def main(folder: Path, arguments: list[str]) -> int:
    pause = threading.Event()

    def script(features: np.ndarray) -> Hypothesis:
        found = FakeWhisper()._count(features)
        words = len(FakeWhisper().tokenizer.decode(found.token_ids).split())
        with (folder / "heard").open("a") as heard:
            heard.write(f"{words}\n")
        for order in folder.glob(f"SIG*-at-{words}"):
            order.unlink()
            os.kill(os.getpid(), signal.Signals[order.name.partition("-")[0]])
            pause.wait(1)  # the signal is for the main thread, which ends the run
        while (folder / f"hold-at-{words}").exists():
            (folder / "holding").touch()
            pause.wait(0.01)
        return found

    signal.signal(signal.SIGTERM, cli._terminate)
    context = CommandContext(build=lambda _settings, _environ: World(script=script).transcriber)
    return cli.run(["transcribe", "-l", "en", *arguments], context)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))

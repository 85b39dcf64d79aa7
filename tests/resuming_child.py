"""The command over a fake engine: `resuming_child.py FOLDER ARGUMENTS...`.

`FOLDER/heard` gets a line of every chunk that is recognised, its number of words. A file `FOLDER/NAME-at-N` has the
process send itself the signal NAME when it hears N words, once, and not before as many chunks are kept as the file
says; a `hold-at-N` has it wait while the file is there.
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


def kept() -> int:
    """Chunks of unfinished files in the cache, each of which has a header before them."""
    files = (Path(os.environ["AUTORAG_WHISPER_CACHE_DIR"]) / "unfinished").glob("*")  # noqa: TID251 - of the test
    return sum(max(0, len(file.read_bytes().splitlines()) - 1) for file in files)


def main(folder: Path, arguments: list[str]) -> int:
    pause = threading.Event()

    def script(features: np.ndarray) -> Hypothesis:
        found = FakeWhisper()._count(features)
        words = len(FakeWhisper().tokenizer.decode(found.token_ids).split())
        with (folder / "heard").open("a") as heard:
            heard.write(f"{words}\n")
        for order in folder.glob(f"SIG*-at-{words}"):
            least = int(order.read_text() or 0)
            order.unlink()
            while kept() < least:
                pause.wait(0.01)
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

"""Write docs/openapi.json anew: `.venv/bin/python scripts/openapi.py`; `--check` only says if it is out of date."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.jobs.runner import JobRunner
from autorag_whisper.server.app import Engine, create_app
from autorag_whisper.server.jobs import Jobs
from autorag_whisper.server.openapi import text_of
from autorag_whisper.server.settings import ServerSettings
from autorag_whisper.worker.client import WorkerTranscriber

PLACE = Path(__file__).parent.parent / "docs" / "openapi.json"


def current() -> str:
    """The document of an application with every route. No model is loaded, no process started."""
    with tempfile.TemporaryDirectory() as folder, WorkerTranscriber() as transcriber:
        store = MemoryJobStore()
        with closing(JobRunner(store, transcriber, Path(folder), time.time)) as runner:
            engine = Engine(transcriber, list, time.monotonic)
            return text_of(create_app(engine, ServerSettings(), Jobs(store, runner, time.time)))


def main() -> int:
    text = current()
    if "--check" in sys.argv:
        return int(PLACE.read_text(encoding="utf-8") != text)
    PLACE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

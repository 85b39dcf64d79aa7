"""How a run starts: while the engine reads the weights, without Python's lock, what else a run needs is imported."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from autorag_whisper.domain.transcript import Segment
    from autorag_whisper.transcriber.outcome import FileOutcome
    from autorag_whisper.transcriber.run import Run
    from autorag_whisper.transcriber.run_request import RunRequest
    from autorag_whisper.transcriber.schedulers import Schedulers


def events(request: RunRequest, schedulers: Schedulers) -> Generator[Segment | FileOutcome]:
    """`Run.events`, after the load. Raises the Model* errors and EngineError of the load too."""
    request.control.cancel.check()
    with ThreadPoolExecutor(1, thread_name_prefix="autorag-whisper-start") as pool:
        run = pool.submit(_import_run)
        pool.submit(request.voice.stream)  # where it fails, it fails each file in turn
        spec = request.session.prepare()
    yield from run.result()(request, spec, schedulers).events()


def _import_run() -> type[Run]:
    from autorag_whisper.transcriber.run import Run

    return Run

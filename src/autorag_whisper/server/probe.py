"""A second of sound, recognised when the service starts: whether the engine works."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.server.health import STALLED_S
from autorag_whisper.transcriber.cancellation import CancelToken

if TYPE_CHECKING:
    from autorag_whisper.server.health import Health
    from autorag_whisper.transcriber.protocol import TranscriberProtocol

_log = logging.getLogger(__name__)

_AGAIN_S = 5.0
_SOUND = np.sin(np.arange(16_000, dtype=np.float32) * 0.05) * np.float32(0.1)
_OPTIONS = TranscribeOptions(language="en", vad=False, quality="fast", temperatures=(0.0,))


async def keep_warm(health: Health, transcriber: TranscriberProtocol, model: str) -> None:
    """Load the model and hear whether it works, until it does.

    What is wrong meanwhile is the health's `engine_problem`. Afterwards the work itself tells: nothing is recognised
    where nobody asks, so that a model may leave a card.
    """
    while True:
        problem = await _probe(health, transcriber, model)
        if not problem:
            health.engine_problem, health.warm = "", True
            return
        health.engine_problem = problem
        await asyncio.sleep(_AGAIN_S)


async def _probe(health: Health, transcriber: TranscriberProtocol, model: str) -> str:
    """What is wrong; "" if a second of sound was recognised. One that takes too long is told, and waited for.

    Its thread is its own, and a daemon's: one that hangs holds up neither others' work nor the end of the process.
    """
    loop, cancel = asyncio.get_running_loop(), CancelToken()
    over: asyncio.Future[str] = loop.create_future()

    def tell(problem: str) -> None:
        if not over.done():
            over.set_result(problem)

    def recognise() -> None:
        problem = ""
        try:
            sound = MediaSource.from_samples(_SOUND, name="probe").isolated()  # as what clients send
            transcriber.transcribe(sound, _OPTIONS, model=model, cancel=cancel)
        except AutoragWhisperError as error:
            problem = str(error)
        except Exception:  # noqa: BLE001 - the thread's edge: whatever it is, the service is not ready
            _log.exception("the engine could not be tried")
            problem = "the engine could not be tried: an internal error, which the log has"
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, problem)

    threading.Thread(target=recognise, name="autorag-whisper-probe", daemon=True).start()
    try:
        done, _ = await asyncio.wait({over}, timeout=STALLED_S)
        if not done:
            health.engine_problem = f"the engine did not recognise a second of sound within {STALLED_S:.0f} s"
        return await over
    finally:
        cancel.cancel()

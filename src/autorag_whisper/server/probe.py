"""A second of sound, recognised when the service starts: whether the engine works."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.server.health import STALLED_S

if TYPE_CHECKING:
    from autorag_whisper.server.health import Health
    from autorag_whisper.transcriber.protocol import TranscriberProtocol

_AGAIN_S = 5.0
_SOUND = np.sin(np.arange(16_000, dtype=np.float32) * 0.05) * np.float32(0.1)
_OPTIONS = TranscribeOptions(language="en", vad=False, quality="fast", temperatures=(0.0,))


async def keep_warm(health: Health, transcriber: TranscriberProtocol, model: str) -> None:
    """Load the model and hear whether it works, until it does; what is wrong meanwhile is the health's `problem`.

    Afterwards the work itself tells: nothing is recognised where nobody asks, so that a model may leave a card.
    """
    while True:
        health.problem = await _probe(transcriber, model)
        if not health.problem:
            health.warm = True
            return
        await asyncio.sleep(_AGAIN_S)


async def _probe(transcriber: TranscriberProtocol, model: str) -> str:
    """What is wrong; "" if a second of sound was recognised in time."""

    def recognise() -> None:
        transcriber.transcribe(MediaSource.from_samples(_SOUND, name="probe"), _OPTIONS, model=model)

    try:
        async with asyncio.timeout(STALLED_S):
            await asyncio.to_thread(recognise)
    except TimeoutError:
        return f"the engine did not recognise a second of sound within {STALLED_S:.0f} s"
    except AutoragWhisperError as error:
        return str(error)
    return ""

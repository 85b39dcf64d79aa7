"""The application in uvicorn: one process, one event loop, an end that finishes what is in work."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import uvicorn

from autorag_whisper.server.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from fastapi import FastAPI

    from autorag_whisper.server.settings import ServerSettings

_KEEP_ALIVE_S = 75
_SPARE_S = 10
"""After the draining has answered what was left; then connections are cut."""


class _Server(uvicorn.Server):
    """Says that it serves, and that it ends."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, on_start: Callable[[str], None]) -> None:
        super().__init__(config)
        self._app, self._on_start = app, on_start

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]  # what uvicorn hands over
        await super().startup(sockets)  # type: ignore[arg-type]  # what uvicorn hands over
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._on_start(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        loop = asyncio.get_running_loop()  # of this thread, which the signal came to, however early
        loop.call_soon_threadsafe(self._app.state.service.begin_to_end)
        super().handle_exit(sig, frame)


def run(app: FastAPI, settings: ServerSettings, on_start: Callable[[str], None]) -> None:
    """Serve until a signal ends it. `on_start` is told the address, with the port that was free where 0 was asked for.

    Raises SystemExit (1) where the address cannot be had.
    """
    _Server(config_of(app, settings), app, on_start).run()


def config_of(app: FastAPI, settings: ServerSettings) -> uvicorn.Config:
    """How uvicorn is to serve."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(settings.drain_s) + _SPARE_S,
    )

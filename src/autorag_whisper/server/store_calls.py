"""Calls to the store of durable jobs, in threads of their own.

A store may take its time: a database that is silent, a disk that stalls. It holds up who needs it and nobody else, as
the threads of the event loop, which all other routes use, wait for no store.
"""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from autorag_whisper.domain.job_errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

Given = ParamSpec("Given")
Told = TypeVar("Told")

MOST_CALLS = 8
"""At a time; as many as the store has connections (`jobs.postgres`)."""
PATIENCE_S = 10.0
"""How long a call waits for its turn."""


class StoreCalls:
    """At most `most` at a time; one whose turn does not come within `patience_s` seconds is refused."""

    def __init__(self, most: int = MOST_CALLS, patience_s: float = PATIENCE_S) -> None:
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="autorag-whisper-store")
        self._patience_s = patience_s

    async def __call__(self, call: Callable[Given, Told], *given: Given.args, **named: Given.kwargs) -> Told:
        """What `call` returns or raises, once it has begun; StoreUnavailable where it does not.

        Whoever is cancelled meanwhile takes it back, unless it has begun: then it ends by itself.
        """
        work = self._threads.submit(contextvars.copy_context().run, partial(call, *given, **named))
        waiting = asyncio.wrap_future(work)
        try:
            await asyncio.wait({waiting}, timeout=self._patience_s)
            if not waiting.done() and work.cancel():
                raise _too_many(self._patience_s)
            return await waiting
        finally:
            waiting.cancel()

    def within(self, seconds: float, call: Callable[[], Told]) -> Told:
        """What `call` returns or raises in so many seconds, else StoreUnavailable. Not for the event loop's thread."""
        work = self._threads.submit(call)
        try:
            return work.result(seconds)
        except TimeoutError:
            work.cancel()
            raise _too_many(seconds) from None


def _too_many(waited_s: float) -> StoreUnavailable:
    reason = f"the calls before this one have not been answered for {waited_s:g} s"
    return StoreUnavailable("the store", reason, "try again; /readyz says what is wrong")

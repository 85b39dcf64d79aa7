"""Calls of an engine are counted, and no exception that comes from outside leaves one counted for ever."""

from __future__ import annotations

import linecache
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from autorag_whisper import fork_safety
from autorag_whisper.domain.device import CPU
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.engines.in_flight import Engine, InFlight

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class InterruptError(Exception):
    """As a signal handler raises it."""


@contextmanager
def interrupted_at(line: int) -> Iterator[list[int]]:
    """An exception at that line of what counts, on the way into a call. Yields a list of how many lines there were."""
    ran = [0]
    seen: set[tuple[int, int]] = set()

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        if not frame.f_code.co_filename.endswith(("/in_flight.py", "/fork_safety.py", "/contextlib.py")):
            return None
        if event == "line" and ran[0] >= 0:
            place = (id(frame), frame.f_lineno)
            text = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
            if place in seen and text.strip().startswith("with "):
                return trace  # it is left, in one step that no signal divides
            seen.add(place)
            ran[0] += 1
            if ran[0] == line:
                raise InterruptError
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield ran
    finally:
        sys.settrace(before)


def calls() -> InFlight:
    return InFlight(Engine("fake", "tiny", "model.bin", CPU))


def _in_and_out(counted: InFlight) -> None:
    with counted.call("encode"):
        pass


@pytest.mark.parametrize("kind", ["call", "alone"])
def test_interrupted_at_any_line_on_the_way_in_a_call_is_not_counted_for_ever(kind: str) -> None:
    """`close` waited for ever for it, and a fork half a minute, and its child could compute no more."""
    with interrupted_at(0) as lines, getattr(calls(), kind)("encode"):
        inside = lines[0]
    assert inside > 10
    for line in range(1, inside + 1):
        counted = calls()
        with suppress(InterruptError), interrupted_at(line) as lines, getattr(counted, kind)("encode"):
            lines[0] = -1  # inside: the way out is another matter
        assert not fork_safety._gate.working
        with ThreadPoolExecutor(1) as pool:  # no lock is left locked by this thread
            pool.submit(_in_and_out, counted).result(60)
        counted.close()
        with pytest.raises(EngineError, match="closed"), counted.call("encode"):
            pass

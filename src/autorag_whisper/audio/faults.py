"""Whose fault an exception is that comes up while a file is read: the file's, or the program's that reads it."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.domain.interruptions import came_by_a_signal
from autorag_whisper.domain.media_errors import ReaderFailed

if TYPE_CHECKING:
    from types import TracebackType

_log = logging.getLogger(__name__)

_READERS = sys.stdlib_module_names | {"autorag_whisper", "av", "numpy", "onnxruntime"}
"""Packages whose code reads a file; an exception of another one's class is not theirs."""


def fault_of(error: Exception, name: str) -> AutoragWhisperError | None:
    """`error` as what fails the file that was being read; None where it is the program's and belongs to it as it is.

    The program's are what a signal handler raised, wherever it came up, and every class that no reader knows: a thread
    may be sent one from outside (`PyThreadState_SetAsyncExc`). A TimeoutError that no system call raised is a timer's.
    """
    if came_by_a_signal(error):
        return None
    if isinstance(error, AutoragWhisperError):
        return error
    is_timer = isinstance(error, TimeoutError | InterruptedError) and error.errno is None
    if is_timer or type(error).__module__.partition(".")[0] not in _READERS:
        return None
    _log.debug("%s: its reader failed", name, exc_info=error)
    return ReaderFailed(name, f"{type(error).__name__} in {_place(error.__traceback__)}: {_first_line(error)}")


def _place(at: TracebackType | None) -> str:
    """The innermost module and function of ours in a traceback."""
    place = "an unknown place"
    while at is not None:
        module = at.tb_frame.f_globals.get("__name__", "")
        if module.startswith("autorag_whisper."):
            place = f"{module.removeprefix('autorag_whisper.')}.{at.tb_frame.f_code.co_name}"
        at = at.tb_next
    return place


def _first_line(error: Exception) -> str:
    return (str(error).strip().partition("\n")[0] or "no message")[:200]

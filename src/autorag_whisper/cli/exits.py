"""How the command ends: its exit codes, and which error means which."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from autorag_whisper.domain.archive_errors import (
    InvalidPlan,
    MergeTargetExists,
    NoSuchShard,
    NothingFound,
    OutputFolderUnwritable,
    OutputIsInput,
    OutputsMeet,
    PlanExists,
    ResultsNotFound,
    ResultsOfAnotherPlan,
)
from autorag_whisper.domain.errors import (
    AutoragWhisperError,
    ExtraNotInstalled,
    InvalidOption,
    InvalidSettings,
    ModelNotFound,
    RequestError,
    UnavailableError,
)

SUCCESS = 0
FAILED = 1
"""Some files failed, or the whole run did, though the command line was fine."""
BAD_USAGE = 2
KEPT = 3
"""Nothing failed, but some outputs were not written: files of others, or changed ones, have their names; or another run
is at work on the same files."""
CANCELLED = 4
"""A durable job that was waited for was cancelled."""
INTERRUPTED = 130
TERMINATED = 143


@dataclass(eq=False)
class BadUsage(RequestError):  # noqa: N818 - named after what is wrong, as its family in domain.errors
    """Arguments that are empty, or that exclude each other. Found before any work."""

    what: str
    advice: str = ""

    def problem(self) -> str:
        """What is wrong with the command line."""
        return self.what

    @property
    def remedy(self) -> str:
        """What to give instead."""
        return self.advice


@dataclass(eq=False)
class CannotPrint(UnavailableError):  # noqa: N818 - as above
    """Standard output cannot be written, though its reader is still there."""

    reason: str

    def problem(self) -> str:
        """What the operating system says."""
        return f"standard output cannot be written: {self.reason}"


class Terminated(BaseException):
    """SIGTERM arrived. Not an `Exception`, so that only the outermost caller catches it."""


was_terminated = threading.Event()
"""That it arrived; also where a library in C has cleared the exception."""


_USAGE = (
    BadUsage,
    ExtraNotInstalled,
    InvalidOption,
    InvalidPlan,
    InvalidSettings,
    MergeTargetExists,
    ModelNotFound,
    NoSuchShard,
    NothingFound,
    OutputFolderUnwritable,
    OutputIsInput,
    OutputsMeet,
    PlanExists,
    ResultsNotFound,
    ResultsOfAnotherPlan,
)
"""What is wrong with the command line or the environment."""


def exit_code(error: AutoragWhisperError) -> int:
    """2 where the command line or the environment is wrong, else 1."""
    return BAD_USAGE if isinstance(error, _USAGE) else FAILED

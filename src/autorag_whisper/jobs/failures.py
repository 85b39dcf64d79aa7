"""What becomes of a job whose attempt failed: whether and when it is tried again, as what that counts, what is told."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from autorag_whisper.domain.errors import AutoragWhisperError, PoisonedFile, UnavailableError
from autorag_whisper.domain.faults import was_fault
from autorag_whisper.domain.media_errors import DecoderKilled
from autorag_whisper.jobs.store import MOST_DEATHS

if TYPE_CHECKING:
    from autorag_whisper.jobs.job import Job

MOST_FAILURES = 5
"""Tries after errors of which each may be over soon."""
FIRST_WAIT_S = 10.0
"""Until the second try; doubled for each further one, up to `LONGEST_WAIT_S`."""
LONGEST_WAIT_S = 300.0
_KILLED = "ended by signal 9"
"""As the worker's supervision tells of SIGKILL, which the system sends without memory, and no file."""


class Failure(NamedTuple):
    """`wait_s`: until it is tried again, None for never. `crashed`: counts as a death. `told`: JSON for the client."""

    wait_s: float | None
    crashed: bool
    told: str


def judged(job: Job, error: Exception) -> Failure:
    """What becomes of `job`, as it was claimed, by `error`."""
    crashed = _was_killed(error)
    before, most = (job.deaths, MOST_DEATHS) if crashed else (job.failures, MOST_FAILURES)
    may_pass = crashed or (isinstance(error, UnavailableError | OSError) and not was_fault(error))
    wait_s = min(FIRST_WAIT_S * 2**before, LONGEST_WAIT_S) if may_pass and before + 1 < most else None
    return Failure(wait_s, crashed, json.dumps(_told(error), ensure_ascii=False))


def _was_killed(error: Exception) -> bool:
    """Whether a process that worked on the job was killed from outside, which is no fault of its media."""
    return isinstance(error, DecoderKilled) or (isinstance(error, PoisonedFile) and error.reason == _KILLED)


def _told(error: Exception) -> dict[str, str]:
    """An error as its client sees it; what is not of the package is not shown, as it may hold paths."""
    if isinstance(error, PoisonedFile):
        return {"message": str(error), "code": "poisoned"}
    if isinstance(error, AutoragWhisperError) and not was_fault(error):
        return {"message": str(error), "code": re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()}
    if isinstance(error, OSError):
        return {"message": error.strerror or str(error), "code": "not_readable"}
    return {"message": "an internal error, which the server's log has", "code": "internal_error"}

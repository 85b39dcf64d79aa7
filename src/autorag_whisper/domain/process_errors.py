"""What goes wrong with processes themselves."""

from __future__ import annotations

from dataclasses import dataclass

from autorag_whisper.domain.errors import UnavailableError


@dataclass(eq=False)
class ForkedProcess(UnavailableError):
    """This process is a fork of the one in which `what` was made: the threads that it needs do not exist here."""

    what: str

    def problem(self) -> str:
        return f"{self.what} was made before this process was forked, and cannot be used in the child"

    @property
    def remedy(self) -> str:
        return "make it after the fork, or use WorkerTranscriber, whose process is spawned"

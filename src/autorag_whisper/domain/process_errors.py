"""What goes wrong with processes themselves."""

from __future__ import annotations

from dataclasses import dataclass

from autorag_whisper.domain.errors import RequestError, UnavailableError


@dataclass(eq=False)
class TranscriberClosed(RequestError):
    """A transcriber was used after its `close`, or behind its `with` block."""

    def problem(self) -> str:
        return "this transcriber was closed"

    @property
    def remedy(self) -> str:
        return "make another one with build_transcriber, or use it before it is closed"


@dataclass(eq=False)
class ForkedProcess(UnavailableError):
    """This process is a fork of the one in which `what` was made: the threads that it needs do not exist here."""

    what: str

    def problem(self) -> str:
        return f"{self.what} was made before this process was forked, and cannot be used in the child"

    @property
    def remedy(self) -> str:
        return "make it after the fork, or use WorkerTranscriber, whose process is spawned"


@dataclass(eq=False)
class AddressTaken(UnavailableError):
    """Nothing can listen at `address`."""

    address: str
    reason: str

    def problem(self) -> str:
        return f"cannot listen at {self.address}: {self.reason}"

    @property
    def remedy(self) -> str:
        return "give another address or port, or end the process that has it"

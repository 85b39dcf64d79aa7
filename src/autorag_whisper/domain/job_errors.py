"""Errors of durable jobs."""

from __future__ import annotations

from dataclasses import dataclass

from autorag_whisper.domain.errors import UnavailableError


@dataclass(eq=False)
class StoreUnavailable(UnavailableError):
    """The jobs in a file cannot be used: `reason`."""

    path: str
    reason: str

    def problem(self) -> str:
        return f"the jobs in {self.path} cannot be used: {self.reason}"

    @property
    def remedy(self) -> str:
        return "name another folder, on a disk of this machine, or end the process that has it"

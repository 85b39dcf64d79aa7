"""Errors of durable jobs."""

from __future__ import annotations

from dataclasses import dataclass

from autorag_whisper.domain.errors import RequestError, UnavailableError


@dataclass(eq=False)
class StoreUnavailable(UnavailableError):
    """The jobs in a file, or a database, cannot be used: `reason`. `advice`: what to do, without a full stop."""

    path: str
    reason: str
    advice: str = "name another folder, on a disk of this machine, or end the process that has it"

    def problem(self) -> str:
        return f"the jobs in {self.path} cannot be used: {self.reason}"

    @property
    def remedy(self) -> str:
        return self.advice


@dataclass(eq=False)
class QueueFull(UnavailableError):
    """No job can be added now, whoever asks."""

    reason: str

    def problem(self) -> str:
        return f"no job can be added now: {self.reason}"

    @property
    def remedy(self) -> str:
        return "try again when some are done"


@dataclass(eq=False)
class QuotaExceeded(RequestError):
    """A client has as much as it may have: `limit` says of what."""

    limit: str

    def problem(self) -> str:
        return f"you have reached your limit of {self.limit}"

    @property
    def remedy(self) -> str:
        return "wait until some of your jobs are done, or remove old ones (autorag-whisper jobs prune)"


@dataclass(eq=False)
class ServerUnreachable(UnavailableError):
    """No server of ours answers at `url`."""

    url: str
    reason: str

    def problem(self) -> str:
        return f"{self.url} cannot be reached: {self.reason}".rstrip(".")

    @property
    def remedy(self) -> str:
        return "start it (autorag-whisper serve --data FOLDER), or name another (--server URL)"


@dataclass(eq=False)
class ServerRefused(RequestError):
    """A server's answer is an error: its `message`, `code`, HTTP `status`, and what it asks for, `retry_after_s`."""

    message: str
    code: str
    status: int
    retry_after_s: int | None = None

    def problem(self) -> str:
        return self.message.rstrip(".")

    @property
    def remedy(self) -> str:
        if self.status == 401:
            return "The key is read from AUTORAG_WHISPER_API_KEY"
        return "" if self.retry_after_s is None else f"Try again in {self.retry_after_s} s"

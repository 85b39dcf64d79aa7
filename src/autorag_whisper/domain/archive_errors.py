"""What goes wrong with a batch over folders: what it was asked for, and where its outputs belong."""

from __future__ import annotations

from dataclasses import dataclass

from autorag_whisper.domain.errors import RequestError, UnavailableError


@dataclass(eq=False)
class NothingFound(RequestError):
    """No file was found. `purpose`: what for ("transcribe"); `reasons`: one for each name that gave none."""

    purpose: str
    reasons: tuple[str, ...]
    advice: str = "name media files, or folders that hold some"

    def problem(self) -> str:
        return f"nothing to {self.purpose}: {'; '.join(self.reasons)}"

    @property
    def remedy(self) -> str:
        return self.advice


@dataclass(eq=False)
class OutputsMeet(RequestError):
    """An output of two inputs, or one that is an input itself. `other` is the second input, "" for the latter."""

    output: str
    name: str
    other: str = ""

    def problem(self) -> str:
        rest = f" and of {self.other}" if self.other else ", and it is itself an input"
        return f"{self.output} would be the output of {self.name}{rest}"

    @property
    def remedy(self) -> str:
        return "transcribe them in separate runs, or rename one"


@dataclass(eq=False)
class OutputIsInput(RequestError):
    """A result in JSON whose only output would be that same file."""

    name: str

    def problem(self) -> str:
        return f"{self.name} would be its own output"

    @property
    def remedy(self) -> str:
        return "name another format, or an output folder"


@dataclass(eq=False)
class OutputFolderUnwritable(RequestError):
    """The folder that was named for all outputs cannot be made or written to. Found before any work."""

    folder: str
    reason: str

    def problem(self) -> str:
        return f"{self.folder} cannot be written to: {self.reason}"

    @property
    def remedy(self) -> str:
        return "choose another output folder"


@dataclass(eq=False)
class WatchedFolderMissing(RequestError):
    """The folder that is to be watched is not there."""

    folder: str

    def problem(self) -> str:
        return f"{self.folder}: no such folder to watch"

    @property
    def remedy(self) -> str:
        return "make it, or mount it, before the server starts"


@dataclass(eq=False)
class OutputsUnwritable(UnavailableError):
    """The outputs of one file cannot be written; those of others may be. `name` is shown to people."""

    name: str
    reason: str

    def problem(self) -> str:
        return f"{self.name}: its outputs cannot be written: {self.reason}"


@dataclass(eq=False)
class DiskFull(UnavailableError):
    """Outputs cannot be written, and what comes next will not be either. `reason` is the operating system's."""

    folder: str
    reason: str

    def problem(self) -> str:
        return f"{self.folder} takes no more files: {self.reason}"

    @property
    def remedy(self) -> str:
        return "make room there, or choose another output folder; what is recognised so far is not lost"

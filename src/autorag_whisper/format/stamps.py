"""Times as subtitle files write them; hours have as many digits as they need."""

from __future__ import annotations


def srt_time(time_ms: int) -> str:
    """`01:02:03,004`."""
    return "{:02d}:{:02d}:{:02d},{:03d}".format(*_clock(time_ms))


def vtt_time(time_ms: int) -> str:
    """`01:02:03.004`."""
    return srt_time(time_ms).replace(",", ".")


def ass_time(time_ms: int) -> str:
    """`1:02:03.00`."""
    hours, minutes, seconds, milliseconds = _clock(time_ms)
    return f"{hours}:{minutes:02d}:{seconds:02d}.{milliseconds // 10:02d}"


def _clock(time_ms: int) -> tuple[int, int, int, int]:
    seconds, milliseconds = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    return *divmod(minutes, 60), seconds, milliseconds

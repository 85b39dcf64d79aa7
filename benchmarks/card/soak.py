"""Many short jobs one after another: nothing grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.card.day import MIB, SAMPLE

if TYPE_CHECKING:
    from benchmarks.card.day import Day

_MOST_GROWTH = 16 * MIB


def jobs(day: Day) -> None:
    """300 of them, in one process."""
    from autorag_whisper.domain.request import TranscribeOptions

    count, texts = 12 if day.tiny else 300, set()
    with day.transcriber() as transcriber:
        handle = transcriber.model(day.model("tiny.en" if day.tiny else "base"), day.device)
        at_first = 0
        for n in range(count):
            texts.add(transcriber.transcribe(SAMPLE, TranscribeOptions(language="en"), model=handle).text)
            if n == count // 6 and day.is_card:
                at_first = day.free_bytes()
        grown = at_first - day.free_bytes() if day.is_card else 0
    day.tell(f"{count} jobs", f"{len(texts)} texts", ok=len(texts) == 1)
    if day.is_card:
        day.tell("the card's memory", f"grew by {grown / MIB:.0f} MiB", ok=grown <= _MOST_GROWTH)

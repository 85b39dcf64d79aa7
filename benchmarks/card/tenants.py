"""Another program takes the card's memory: at the load, before the encoder, before the decoder."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.card.day import MIB, SAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.card.day import Day

_JOBS, _TINY_JOBS = 24, 6

_FILLER = """
import sys, torch
left, held = int(sys.argv[1]), []
while True:
    free = torch.cuda.mem_get_info()[0] - left
    if free < (8 << 20):
        break
    held.append(torch.empty(min(free, 1 << 30), dtype=torch.uint8, device="cuda"))
print("full", flush=True)
sys.stdin.read()
"""


@contextmanager
def _filled(day: Day, left: int) -> Iterator[None]:
    """For the length of a `with` a PyTorch process, as an LLM's would, has all of the card but `left` bytes."""
    if not day.is_card:
        yield
        return
    command = [sys.executable, "-c", _FILLER, str(left)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as filler:
        assert filler.stdout is not None
        assert filler.stdin is not None
        if filler.stdout.readline().strip() != "full":
            raise RuntimeError("the program that fills the card has failed")
        try:
            yield
        finally:
            filler.stdin.close()
            filler.wait(timeout=30)


def fallback(day: Day) -> None:
    """No job may be lost, whatever becomes of the card's memory in the midst of it."""
    from autorag_whisper.domain.request import TranscribeOptions

    jobs, options = _TINY_JOBS if day.tiny else _JOBS, TranscribeOptions(language="en", batch_size=16)
    model = day.model("tiny.en" if day.tiny else "base")
    with day.transcriber() as transcriber:
        handle = transcriber.model(model, day.device)
        free_before = day.free_bytes() if day.is_card else 0
        wanted = transcriber.transcribe(SAMPLE, options, model=handle).text
        needs = free_before - day.free_bytes() if day.is_card else 0
    day.tell("memory of a job", f"{needs / MIB:.0f} MiB with the driver's own")
    cases = {
        "at the load": (needs // 4, False),
        "before the first batch": (16 * MIB, True),
        "in large batches": (needs, False),
    }
    for when, (left, is_loaded) in cases.items():
        with day.transcriber() as transcriber:
            handle = transcriber.model(model, day.device)
            if is_loaded:
                transcriber.load(handle)
            with _filled(day, left):
                found = list(transcriber.transcribe_many([SAMPLE] * jobs, options, model=handle))
        lost = [o.error for o in found if o.transcript is None]
        other = sum(1 for o in found if o.transcript is not None and o.transcript.text.casefold() != wanted.casefold())
        steps = sorted({s.step for o in found if o.transcript is not None for s in o.transcript.device_fallbacks})
        shown = f"{jobs} jobs, {len(lost)} lost, {other} with another text; steps: {', '.join(steps) or 'none'}"
        day.tell(f"{left / MIB:.0f} MiB left {when}", f"{shown} {lost[:1] or ''}".strip(), ok=not lost and not other)

"""The steps in their order: what matters most comes first, as the machine may be gone at any time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """`function` of a module of this package, which has `limit_s` seconds. `goal`: of its rows, for the table."""

    name: str
    function: str
    limit_s: int
    goal: str = ""


STEPS = (
    Step("doctor", "machine:doctor", 60),
    Step("words", "words:words", 120, "WER within 0.3 points of the CPU's, times within 20 ms (median)"),
    Step("shapes", "speed:make_shapes", 60),
    Step("checks, base", "machine:checks_base", 150),
    Step("checks, turbo's shape", "machine:checks_turbo", 120, "restored in 1 s"),
    Step("memory is taken away", "tenants:fallback", 120, "no chunk lost"),
    Step("speed, real weights", "speed:real", 120),
    Step("speed, shapes", "speed:shapes", 180),
    Step("where the time goes", "speed:stages", 60),
    Step("two workers, one is killed", "crashes:killed", 60, "both jobs whole"),
    Step("a sticky error of the card", "crashes:sticky", 60, "ends the worker, not the job"),
    Step("wav2vec2, PyTorch", "alignment:wav2vec2", 60, "offload frees, the same emissions"),
    Step("300 jobs", "soak:jobs", 120, "the card's memory does not grow"),
)

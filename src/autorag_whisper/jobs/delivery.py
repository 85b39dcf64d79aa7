"""The noun of a webhook's message on its way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Delivery:
    """The end of a job, to be told to `url` with the body `payload`. `id` is the same in every attempt.

    `attempts`: how often somebody took it up; the number is that one's receipt. `due_s`: when it is to be taken up
    next, seconds since the epoch. `ended_s`: when it was over, 0 until then; `delivered`: by an answer that says so,
    else it was given up. `response`: what the last attempt came to, for people.
    """

    id: str
    job_id: str
    url: str
    payload: str
    created_s: float
    due_s: float
    attempts: int = 0
    ended_s: float = 0.0
    delivered: bool = False
    response: str = ""

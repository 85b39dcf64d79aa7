"""What an LLM server promises as a tenant, in prose; `tests/contract/test_llm_server.py` holds them to it."""

from __future__ import annotations

from typing import Protocol


class LlmServer(Protocol):
    """A server of another process that keeps models on a card, asked over its own protocol.

    Any thread may call it. Every call ends within its own timeout, however the server behaves, and raises
    LlmUnreachable where it does not answer, answers nonsense, or lacks what is needed.
    """

    @property
    def name(self) -> str:
        """For people: the kind of server and its model."""
        ...

    def is_loaded(self) -> bool | None:
        """Whether the model takes memory of the card now, as the server tells it; None where it cannot be asked."""
        ...

    def ask_to_leave(self) -> None:
        """Have it give the memory back. That it answered says nothing: `is_loaded` and the card do."""
        ...

    def ask_back(self) -> None:
        """Have it ready again, where it does not come by itself with its next request. Again is fine."""
        ...

"""How much of a batch CTranslate2 searches at once, so that the memory it takes has a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autorag_whisper.domain.device import Device

_CPU_ROWS, _CPU_HYPOTHESES = 16, 128
"""Searched at once: a greedy row takes 0.2 MB a token for the engine's logits, a hypothesis of a beam up to 11 MB."""
_CUDA_BEAM = 5
"""A wider beam has fewer rows at once: on a card that other programs use too it takes no more memory than this one."""


def rows_at_once(rows: int, beam_size: int, device: Device) -> int:
    """How many rows of a batch are searched together; a larger one is searched in parts.

    On a CPU no memory says how much of it there is, until it ends the process. A card says so, and the device fallback
    halves the batch.
    """
    if device.is_cuda:
        return max(1, rows * _CUDA_BEAM // max(_CUDA_BEAM, beam_size))
    return min(rows, _CPU_ROWS, max(1, _CPU_HYPOTHESES // beam_size))

"""Attention heads that time single letters, for models in which they were looked for.

Found on 24 clips (8.2 min, 1,307 words) of flite's voices with exact times, texts other than those of any test: every
head of the upper half of the decoder alone, then the best together (`dev/LOG.md`, 2026-11-25). One head alone is best:
each has a lateness of its own (-30 to 200 ms), and their mean blurs it. `scripts/find_alignment_heads.py` finds them.
"""

from __future__ import annotations

from autorag_whisper.engines.base import CharacterHeads

CHARACTER_HEADS: dict[str, CharacterHeads] = {
    "tiny.en": CharacterHeads(((2, 4),), late_s=0.015, tokens_early_s=0.144, loses_its_place=True),
    "base": CharacterHeads(((4, 2),), late_s=0.008, tokens_early_s=0.118),
}
"""By the catalogue's name of a model."""

"""What makes sampling repeatable: the same audio has the same seed, in every run and whatever it was batched with."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autorag_whisper.domain.audio import Samples


def seed_of(samples: Samples) -> int:
    """A seed from 0 to 2**31 - 1 that depends on these samples alone."""
    digest = hashlib.blake2b(samples.tobytes(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1

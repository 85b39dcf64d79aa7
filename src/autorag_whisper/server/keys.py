"""API keys: given as a file of keys or as digests, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIGEST = re.compile(r"[0-9a-f]{64}")
_ALLOWED = "a file with a key a line, or SHA-256 digests (64 hexadecimal digits) set apart by commas"


def digest(key: str) -> str:
    """As which a key is kept."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def read_digests(given: str) -> tuple[str, ...]:
    """The digests that `AUTORAG_WHISPER_API_KEYS` means: a file's keys (`#` begins a comment), or those in it.

    Raises InvalidOption for what is neither, and for a file without a key.
    """
    if not given.strip():
        return ()
    parts = [part.strip().lower() for part in given.split(",") if part.strip()]
    if parts and all(_DIGEST.fullmatch(part) for part in parts):
        return tuple(dict.fromkeys(parts))
    try:
        lines = Path(given).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        raise InvalidOption("AUTORAG_WHISPER_API_KEYS", "what was given", _ALLOWED) from None
    keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise InvalidOption("AUTORAG_WHISPER_API_KEYS", "a file without a key", _ALLOWED)
    return tuple(dict.fromkeys(digest(key) for key in keys))


def is_known(key: str, digests: Sequence[str]) -> bool:
    """Whether `key` is one of them. Takes as long for every key: all of them are compared."""
    own = digest(key)
    found = False
    for known in digests:
        found |= hmac.compare_digest(own, known)
    return found

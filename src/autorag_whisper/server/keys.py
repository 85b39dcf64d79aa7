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
_NAMED = re.compile(r"\s+#\s*")
_ALLOWED = "a file with a key a line, or SHA-256 digests (64 hexadecimal digits) set apart by commas"


def digest(key: str) -> str:
    """As which a key is kept."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def read_keys(given: str) -> dict[str, str]:
    """Digest -> name, of the keys that `AUTORAG_WHISPER_API_KEYS` means; "" for one without a name.

    A file's keys (`KEY`, or `KEY # who has it`; a line that begins with `#` is a comment), or digests set apart by
    commas. Raises InvalidOption for what is neither, and for a file without a key.
    """
    if not given.strip():
        return {}
    parts = [part.strip().lower() for part in given.split(",") if part.strip()]
    if parts and all(_DIGEST.fullmatch(part) for part in parts):
        return dict.fromkeys(parts, "")
    try:
        lines = Path(given).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        raise InvalidOption("AUTORAG_WHISPER_API_KEYS", "what was given", _ALLOWED) from None
    keys = [_NAMED.split(line.strip(), maxsplit=1) for line in lines if line.strip() and line.lstrip()[0] != "#"]
    if not keys:
        raise InvalidOption("AUTORAG_WHISPER_API_KEYS", "a file without a key", _ALLOWED)
    return {digest(key): "".join(name) for key, *name in keys}


def read_digests(given: str) -> tuple[str, ...]:
    """The digests of `read_keys`."""
    return tuple(read_keys(given))


def client_id(key_digest: str) -> str:
    """Under which a key's requests and jobs are kept: a part of its digest."""
    return key_digest[:16]


def key_of(name: str, given: str) -> str:
    """The `client_id` of the key called `name` in what `read_keys` reads; "" for no name.

    Raises InvalidOption for a name that no key has, or several.
    """
    named = [of for of, called in read_keys(given).items() if name and called == name]
    if name and len(named) != 1:
        allowed = "the name of one key: KEY # NAME in the file of AUTORAG_WHISPER_API_KEYS"
        raise InvalidOption("--watch-key", name, allowed)
    return client_id(named[0]) if named else ""


def is_known(key: str, digests: Sequence[str]) -> bool:
    """Whether `key` is one of them. Takes as long for every key: all of them are compared."""
    own = digest(key)
    found = False
    for known in digests:
        found |= hmac.compare_digest(own, known)
    return found

"""What of the allowlist FFmpeg's libraries have on this machine."""

from __future__ import annotations

import av

from autorag_whisper.audio.allowlist import CODECS, TABLE, Format


def available() -> tuple[list[Format], list[str]]:
    """The containers in the table's order, and the names of the decoders, sorted."""
    return [one for one in TABLE if one.name in av.formats_available], sorted(CODECS & av.codecs_available)

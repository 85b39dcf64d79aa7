"""The one table of Whisper's sizes: name -> hub id, bytes to fetch, and whether it needs full windows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A size that can be asked for by name.

    `approximate_bytes` is for display. `strict_window`: turbo and the distilled models were trained on full 30 s
    windows alone and lose words in shorter ones.
    """

    name: str
    hub_id: str
    approximate_bytes: int
    strict_window: bool = False


_TABLE = (
    KnownModel("tiny", "Systran/faster-whisper-tiny", 78_000_000),
    KnownModel("tiny.en", "Systran/faster-whisper-tiny.en", 78_000_000),
    KnownModel("base", "Systran/faster-whisper-base", 148_000_000),
    KnownModel("base.en", "Systran/faster-whisper-base.en", 148_000_000),
    KnownModel("small", "Systran/faster-whisper-small", 486_000_000),
    KnownModel("small.en", "Systran/faster-whisper-small.en", 486_000_000),
    KnownModel("medium", "Systran/faster-whisper-medium", 1_531_000_000),
    KnownModel("medium.en", "Systran/faster-whisper-medium.en", 1_531_000_000),
    KnownModel("large-v1", "Systran/faster-whisper-large-v1", 3_090_000_000),
    KnownModel("large-v2", "Systran/faster-whisper-large-v2", 3_090_000_000),
    KnownModel("large-v3", "Systran/faster-whisper-large-v3", 3_091_000_000),
    KnownModel("large-v3-turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo", 1_621_000_000, strict_window=True),
    KnownModel("distil-small.en", "Systran/faster-distil-whisper-small.en", 336_000_000, strict_window=True),
    KnownModel("distil-medium.en", "Systran/faster-distil-whisper-medium.en", 792_000_000, strict_window=True),
    KnownModel("distil-large-v2", "Systran/faster-distil-whisper-large-v2", 1_516_000_000, strict_window=True),
    KnownModel("distil-large-v3", "Systran/faster-distil-whisper-large-v3", 1_516_000_000, strict_window=True),
    KnownModel("distil-large-v3.5", "distil-whisper/distil-large-v3.5-ct2", 1_516_000_000, strict_window=True),
)

CATALOGUE: dict[str, KnownModel] = {model.name: model for model in _TABLE}

ALIASES: dict[str, str] = {"large": "large-v3", "turbo": "large-v3-turbo"}
"""Other ways to write a name of the catalogue."""

NAMES: tuple[str, ...] = (*CATALOGUE, *ALIASES)


def find(name: str) -> KnownModel | None:
    """The size of that name or alias, None for any other word."""
    return CATALOGUE.get(ALIASES.get(name, name))

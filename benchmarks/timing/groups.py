"""Which recordings, and which words of them, belong to which group."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.timing import made, spoken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Row = dict[str, Any]
    """A line of a manifest."""

COPIES = "noisy, telephone, reverberant"
HUMAN_READ, HUMAN_TALK, HUMAN_COPIES = "human, read", "human, spontaneous", "human, " + COPIES
HESITANT, JOINED = "hesitant", "human, joined by pauses"
DIGITS = "digits at known places"
"""Their true edges are an energy threshold's, not a listener's: only `found`, `far` and `placed` mean something."""

GROUPS: dict[str, Callable[[Row], bool]] = {
    "clean English, exact": lambda row: row["language"] == "en" and {"clean"} <= tags(row) and exact(row),
    COPIES: lambda row: exact(row) and not {"clean", "long", "espeak", "made"} & tags(row),
    "ten minutes": lambda row: row["path"].startswith("long_10min"),
    "other languages, exact": lambda row: row["language"] != "en" and exact(row),
    HUMAN_READ: lambda row: human(row) and not {"overlap", "made"} & tags(row),
    HUMAN_TALK: lambda row: {"made", "spontaneous"} <= tags(row),
    HUMAN_COPIES: lambda row: "copy" in tags(row),
    HESITANT: lambda row: "hesitant" in tags(row),
    JOINED: lambda row: "joined" in tags(row),
    DIGITS: lambda row: row.get("word_trust") == "constructed",
}
PAUSE_S = 0.6
AT_PAUSES = "first and last words at pauses of 0.6 s and more"
NUMBERS, PLAIN = "numbers and abbreviations, exact", "plain words, exact"
WORD_GROUPS = (AT_PAUSES, NUMBERS, PLAIN)
"""Groups of words, not of files: at pauses of all but the digits; the others of clean English with exact times."""
ABBREVIATED = {"dr", "mr", "mrs", "ms", "st", "vs", "etc", "prof", "jr", "sr"}


def tags(row: Row) -> set[str]:
    return set(row["tags"])


def exact(row: Row) -> bool:
    return row.get("word_trust") == "exact"


def human(row: Row) -> bool:
    return row.get("word_trust") == "human"


def rows_of(kit: Path, scratch: Path, model: str, half: int | None) -> Iterator[tuple[Path, Row]]:
    """Files with trusted times that this model can be asked for, every second one for a `half`.

    What is made of the kit's recordings, and what is spoken beside them, is written into `scratch`.
    """
    of_kit, beside = scratch / "made", scratch / spoken.TAG
    for folder in (of_kit, beside):
        folder.mkdir()
    made.make(kit, of_kit)
    spoken.make(beside)
    for folder in (kit / "tts", kit / "real", kit / "human2", of_kit, beside):
        lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
        for n, row in enumerate(map(json.loads, lines)):
            wanted = any(member(row) for member in GROUPS.values()) and "60min" not in row["path"]
            if wanted and (half is None or n % 2 == half) and (row["language"] == "en" or not model.endswith(".en")):
                yield folder, row


def word_groups(row: Row) -> dict[str, set[float]]:
    """The true starts of the words that belong to a group of words."""
    timed = [word for word in row["words"] if "s" in word]
    is_asked = (exact(row) or human(row)) and spoken.TAG not in tags(row)  # of single sentences every end is a pause
    groups = {AT_PAUSES: at_pauses(timed, row["duration_s"])} if is_asked else {}
    if GROUPS["clean English, exact"](row):
        numbers = {word["s"] for word in timed if not spoken_as_written(word["w"])}
        groups |= {NUMBERS: numbers, PLAIN: {word["s"] for word in timed} - numbers}
    return groups


def at_pauses(timed: list[dict[str, Any]], duration_s: float) -> set[float]:
    """The true starts of words with `PAUSE_S` of nothing before or behind them, also at the ends of the recording."""
    edges = [0.0, *(edge for word in timed for edge in (word["s"], word["e"])), duration_s]
    gaps = [later - earlier for earlier, later in zip(edges[::2], edges[1::2], strict=True)]
    return {word["s"] for n, word in enumerate(timed) if max(gaps[n], gaps[n + 1]) >= PAUSE_S}


def spoken_as_written(word: str) -> bool:
    """False for what is read otherwise than it is spelled: digits, signs, "Dr.", "e.g." and BBC."""
    core = word.strip('.,;:!?"()')
    letters = core.replace("'", "").replace("-", "")
    return letters.isalpha() and not (len(core) > 1 and core.isupper()) and core.casefold() not in ABBREVIATED

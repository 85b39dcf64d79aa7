"""How much text a viewer can take, by script and style guide: line length, reading speed, how long, how far apart.

The figures are those of Netflix's timed text style guides, which the field goes by, with the older 17 characters a
second for alphabets. East Asian scripts are counted in full-width characters, a narrow one being half. For Japanese
the limits are those of verbatim subtitles (16 and 7); the 4 a second of the translated ones supposes an editor who
shortens, and nobody speaks that slowly.

| style | line | characters a second | seconds | gap |
|---|---|---|---|---|
| `default` | 42 | 17 | 1 to 7 | none, or half a second and more |
| `netflix` | 42 | 20 | 5/6 to 7 | 2 frames of 24 a second, or half a second and more |
| `bbc` | 37 | 15 (180 words a minute) | 1 to 7 | none, or one second and more |
| `ted` | 42 | 21 | 1 to 7 | none, or half a second and more |

A style's line and speed are those for alphabets; other scripts keep their own in every style.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_LINES = 2
MIN_MS = 1_000
MAX_MS = 7_000
CHAIN_MS = 500


@dataclass(frozen=True, slots=True)
class Preset:
    """Limits of one script, counted in characters of `cell_columns` columns each (`format.text.columns`).

    The gap between two cues is `gap_ms`, or `chain_ms` and more: a gap in between looks like flicker.
    """

    line_chars: int
    chars_per_s: float
    cell_columns: int = 1
    right_to_left: bool = False
    max_lines: int = MAX_LINES
    min_ms: int = MIN_MS
    max_ms: int = MAX_MS
    gap_ms: int = 0
    chain_ms: int = CHAIN_MS
    max_words: int | None = None

    @property
    def line_columns(self) -> int:
        return self.line_chars * self.cell_columns

    def reading_ms(self, columns: int) -> int:
        """Milliseconds that `columns` take to read, rounded up."""
        return int(-(-columns * 1000 // (self.chars_per_s * self.cell_columns)))


ALPHABET = Preset(42, 17)
CHINESE = Preset(16, 9, cell_columns=2)
JAPANESE = Preset(16, 7, cell_columns=2)
KOREAN = Preset(16, 12, cell_columns=2)
SOUTH_EAST_ASIAN = Preset(35, 17)
RIGHT_TO_LEFT = Preset(42, 17, right_to_left=True)

_BY_LANGUAGE = (
    dict.fromkeys(("zh", "yue"), CHINESE)
    | {"ja": JAPANESE, "ko": KOREAN}
    | dict.fromkeys(("th", "lo", "km", "my"), SOUTH_EAST_ASIAN)
    | dict.fromkeys(("ar", "fa", "he", "ps", "sd", "ur", "yi"), RIGHT_TO_LEFT)
)


@dataclass(frozen=True, slots=True)
class _Style:
    line_chars: int = 42
    chars_per_s: float = 17
    min_ms: int = MIN_MS
    gap_ms: int = 0
    chain_ms: int = CHAIN_MS


_STYLES = {
    "default": _Style(),
    "netflix": _Style(chars_per_s=20, min_ms=833, gap_ms=83),
    "bbc": _Style(line_chars=37, chars_per_s=15, chain_ms=1_000),
    "ted": _Style(chars_per_s=21),
}

STYLES = tuple(_STYLES)
"""The names of the style guides."""


def preset_for(language: str, style: str = "default") -> Preset:
    """The limits for text in `language` (a Whisper code) by the guide called `style`, one of `STYLES`."""
    script = _BY_LANGUAGE.get(language, ALPHABET)
    guide = _STYLES[style]
    limits = replace(script, min_ms=guide.min_ms, gap_ms=guide.gap_ms, chain_ms=guide.chain_ms)
    if script not in (ALPHABET, RIGHT_TO_LEFT):
        return limits
    return replace(limits, line_chars=guide.line_chars, chars_per_s=guide.chars_per_s)

"""How much text a viewer can take, by script: line length and reading speed.

The figures are those of Netflix's timed text style guides, which the field goes by, with the older 17 characters a
second for alphabets. East Asian scripts are counted in full-width characters, a narrow one being half. For Japanese
the limits are those of verbatim subtitles (16 and 7); the 4 a second of the translated ones supposes an editor who
shortens, and nobody speaks that slowly.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_LINES = 2
MIN_MS = 1_000
MAX_MS = 7_000


@dataclass(frozen=True, slots=True)
class Preset:
    """Limits of one script, counted in characters of `cell_columns` columns each (`format.text.columns`)."""

    line_chars: int
    chars_per_s: int
    cell_columns: int = 1
    right_to_left: bool = False

    @property
    def line_columns(self) -> int:
        return self.line_chars * self.cell_columns

    def reading_ms(self, columns: int) -> int:
        """Milliseconds that `columns` take to read, rounded up."""
        return -(-columns * 1000 // (self.chars_per_s * self.cell_columns))


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


def preset_for(language: str) -> Preset:
    """The limits for text in `language` (a Whisper code)."""
    return _BY_LANGUAGE.get(language, ALPHABET)

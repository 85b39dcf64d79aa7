"""The time of a word, in seconds: the one type for it, whichever aligner found it.

```
frames of an aligner's path -> WordTime, in seconds of the clip -> of the file -> domain.transcript.Word
(align.ctc.WordFrames, align.letter_path.LetterPath: frames alone)               (align.words puts them in order)
```
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autorag_whisper.domain.transcript import WordSource


@dataclass(frozen=True, slots=True)
class WordTime:
    """From when to when one word of a text is heard: seconds, into the clip or the file, as whoever gives it says.

    `source`: how that was found. `score`: how sure its aligner is of it, 0..1; None where it gives none.
    """

    start_s: float
    end_s: float
    source: WordSource
    score: float | None = None

    @property
    def is_sound(self) -> bool:
        """Whether these are numbers in order: what a library gives may be anything."""
        return math.isfinite(self.start_s) and math.isfinite(self.end_s) and self.start_s <= self.end_s

    def later(self, seconds: float) -> WordTime:
        """The same time, counted from so many seconds before."""
        return replace(self, start_s=self.start_s + seconds, end_s=self.end_s + seconds)

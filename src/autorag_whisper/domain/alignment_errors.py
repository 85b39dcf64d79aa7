"""Why an aligner cannot time a text. All of it stays inside: the aligner fallback goes on with the next one down."""

from __future__ import annotations

from dataclasses import dataclass

from autorag_whisper.domain.errors import UnavailableError


class AlignmentError(UnavailableError):
    """An aligner cannot time a text. It stays inside: the aligner fallback goes on with the next one down."""


@dataclass(eq=False)
class NothingToAlign(AlignmentError):
    """A text without a sound: empty, or marks alone."""

    def problem(self) -> str:
        return "the text has nothing that could be heard"


@dataclass(eq=False)
class TooFewFrames(AlignmentError):
    """The audio is too short for the text: `needed` is the least number of frames that holds all labels."""

    frames: int
    needed: int

    def problem(self) -> str:
        return f"{self.frames} frames cannot hold a text that needs {self.needed}"


@dataclass(eq=False)
class EmissionsUnusable(AlignmentError):
    """What the acoustic model gave is no probability for the text."""

    reason: str

    def problem(self) -> str:
        return f"the emissions are unusable: {self.reason}"


@dataclass(eq=False)
class VocabularyUnusable(AlignmentError):
    """A checkpoint's vocabulary is missing, damaged, or does not fit its emissions."""

    reason: str

    def problem(self) -> str:
        return f"the alignment model's vocabulary is unusable: {self.reason}"

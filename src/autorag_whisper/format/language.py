"""Which language a transcript's text is in: that of the speech, or English for a translation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.domain.request import Task

if TYPE_CHECKING:
    from autorag_whisper.domain.transcript import Transcript


def text_language(transcript: Transcript) -> str:
    """The Whisper code of the language that the words are written in."""
    return "en" if transcript.task == Task.TRANSLATE else transcript.language

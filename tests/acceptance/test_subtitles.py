"""Ten minutes of speech, cut as a subtitler would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benchmarks.subtitles import Judgement, ShownCue, judge, read_srt

from autorag_whisper.format import render

if TYPE_CHECKING:
    from pathlib import Path


def shown(*lines: str, start_s: float = 0.0, end_s: float = 4.0) -> ShownCue:
    return ShownCue(start_s, end_s, lines)


def test_the_judge_finds_each_fault() -> None:
    cues = [
        shown("This is the end. And now a", "new sentence"),
        shown("that was torn of", "the", start_s=4.02, end_s=4.5),
        shown("Mr. Smith said so, with", "a line that is very much too wide for a screen.", start_s=4.8, end_s=13.0),
        shown("Read this quickly, please, or never.", start_s=13.0, end_s=14.0),
    ]
    assert judge(cues) == Judgement(
        cues=4, fast=2, short=1, long=1, wide=1, torn=1, function=1, first_line=3, chained=1, flicker=1, narrow_gap=2
    )


@pytest.mark.slow
@pytest.mark.kit
def test_ten_minutes_have_no_torn_sentence_no_flicker_and_hardly_a_function_word_at_an_end(kit: Path) -> None:
    """Before there were phrases: of 101 cues 16 torn, 9 ended in a function word, 24 gaps under half a second."""
    from autorag_whisper import build_transcriber

    with build_transcriber() as transcriber:
        transcript = transcriber.transcribe(kit / "tts" / "long_10min.flac", model="base")
    found = judge(read_srt(render(transcript, "srt")))
    assert found.cues > 80
    assert (found.torn, found.flicker, found.narrow_gap, found.wide, found.long) == (0, 0, 0, 0, 0)
    assert found.function <= 1
    assert found.fast <= found.cues // 5

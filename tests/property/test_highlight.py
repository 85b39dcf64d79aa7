"""The spoken word stands out, and nothing else of a cue changes by it."""

from __future__ import annotations

import re
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import pysubs2
from hypothesis import given

from autorag_whisper.format import render
from autorag_whisper.format.cues import make_cues
from autorag_whisper.format.language import text_language
from autorag_whisper.format.options import Highlight, SubtitleOptions
from transcripts import WORD_TEXT, whole_transcripts

if TYPE_CHECKING:
    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.format.cues import Cue

UNDERLINE = SubtitleOptions(highlight=Highlight.UNDERLINE)
KARAOKE = SubtitleOptions(highlight=Highlight.KARAOKE)
PLAIN = WORD_TEXT.filter(lambda text: re.fullmatch(r"[\w.'-]+", text) is not None)


def cues_of(transcript: Transcript, tick_ms: int) -> tuple[Cue, ...]:
    language = text_language(transcript)
    limits = SubtitleOptions().limits(language)
    return make_cues(transcript.words, transcript.duration_s, limits, tick_ms=tick_ms, language=language)


@given(whole_transcripts(PLAIN))
def test_underlined_steps_fill_their_cue_and_underline_every_word_once(transcript: Transcript) -> None:
    for name in ("srt", "vtt"):
        text = render(transcript, name, UNDERLINE)
        subs = pysubs2.SSAFile.from_string(text, name, keep_html_tags=True)
        steps = [(event.start, event.end, event.text) for event in subs]
        cues = cues_of(transcript, 1)
        assert [t for s in steps for t in s[:2]] == sorted(t for s in steps for t in s[:2])
        assert {step[0] for step in steps} >= {cue.start_ms for cue in cues}
        assert sum(end - start for start, end, _ in steps) == sum(cue.shown_ms for cue in cues)
        shown = [re.sub("</?u>", "", step[2]) for step in steps]
        assert [key for key, _ in groupby(shown)] == [key for key, _ in groupby(r"\N".join(cue.lines) for cue in cues)]
        said = [word.text for cue in cues for line in cue.words for word in line]
        assert [word for step in steps for word in re.findall("<u>(.*?)</u>", step[2])] == said


@given(whole_transcripts(PLAIN))
def test_karaoke_in_ass_times_every_word_and_fills_the_cue(transcript: Transcript) -> None:
    subs = pysubs2.SSAFile.from_string(render(transcript, "ass", KARAOKE), "ass")
    for event, cue in zip(subs, cues_of(transcript, 10), strict=True):
        spans = [int(span) * 10 for span in re.findall(r"{\\k(\d+)}", event.text)]
        assert len(spans) == sum(map(len, cue.words))
        assert sum(spans) == cue.shown_ms
        assert re.sub(r"{\\k\d+}", "", event.text) == r"\N".join(cue.lines)


@given(whole_transcripts(PLAIN))
def test_karaoke_in_webvtt_has_times_in_order_inside_the_cue(transcript: Transcript) -> None:
    blocks = [block.splitlines() for block in render(transcript, "vtt", KARAOKE).split("\n\n")[1:] if block.strip()]
    for (_, times, *lines), cue in zip(blocks, cues_of(transcript, 1), strict=True):
        assert times.startswith(_stamp(cue.start_ms))
        stamps = [_stamp(cue.start_ms), *re.findall(r"<(\d+:[\d:.]+)>", "".join(lines)), _stamp(cue.end_ms)]
        assert all(earlier < later for earlier, later in pairwise(stamps))
        assert tuple(re.sub(r"<[^>]*>", "", line) for line in lines) == cue.lines


def _stamp(time_ms: int) -> str:
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{milliseconds:03}"

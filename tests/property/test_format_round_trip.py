"""What is written is read back the same: subtitles through pysubs2, JSON through a strict parser."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pysubs2
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.domain.audio import MediaInfo
from autorag_whisper.domain.transcript import Segment, Transcript, Word, join_words
from autorag_whisper.format import FORMATS, render
from autorag_whisper.format.cues import make_cues
from autorag_whisper.format.presets import preset_for
from autorag_whisper.format.text import encodable, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

WORD_JOINER = "\u2060"
NASTY = [
    "{x}", "{", "}", "{\\p1}", "{\\an8}", "<b>", "<i", "</i>", "&amp;", "&", "-->", "C:\\New", "\\",
    "\\h", "\\{", "a\nb", "42", "٤٢", "00:00:01,000-->00:00:02,000", "00:01.500", "00:02.500", "👩‍👩‍👧",
    "שלום", "مرحبا،", "你好。", "\x00", "x\x1b[0m", "\ud800", "\u202eabc", "u\u2028v", "\ufdd0", "a,b",
    "NOTE", "WEBVTT", "Dialogue:", "[Events]", "\ufeff", "a\tb", "a\r\nb", "\x85\x07",
]  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.lists(st.sampled_from(NASTY), min_size=2, max_size=4).map("".join),
    st.text(st.characters(exclude_categories=()), min_size=1, max_size=15),
).filter(lambda text: text.strip() == text != "")
LANGUAGES = st.sampled_from(["en", "ja", "th", "ar", "ko"])
TIMES = st.floats(0, 1.5, allow_nan=False)


# Where a file's words begin: at once, across the tenth hour, late. pysubs2 reads two digits of hours from SRT and ASS
# (from 100:00:01 it makes 00:00:01, or nothing); FFmpeg reads more, and so do the tests that need no pysubs2.
STARTS = (0.0, 35_990.0, 300_000.0)
LONG_STARTS = (*STARTS, 359_990.0, 4_000_000.0)


@st.composite
def transcripts(draw: st.DrawFn, starts: Sequence[float] = STARTS) -> Transcript:
    words: list[Word] = []
    now = draw(st.sampled_from(starts))
    for text in draw(st.lists(TEXTS, max_size=12)):
        now += draw(TIMES)
        words.append(Word(text, now, now + draw(TIMES), draw(st.floats(0, 1)), space_before=draw(st.booleans())))
    duration = max([now + 0.1, *(word.end_s for word in words)])
    half = len(words) // 2
    parts = [tuple(part) for part in (words[:half], words[half:]) if part]
    segments = tuple(
        Segment(n, p[0].start_s, max(w.end_s for w in p), join_words(p), p, "en") for n, p in enumerate(parts)
    )
    media = MediaInfo("wav", "pcm_s16le", 16_000, 1, 0, 1)
    language = draw(LANGUAGES)
    return Transcript("a.wav", duration, language, 0.9, "transcribe", segments, "base", "cpu", "int8", media)


def written_lines(transcript: Transcript, tick_ms: int) -> list[list[str]]:
    preset = preset_for(transcript.language)
    cues = make_cues(transcript.words, transcript.duration_s, preset, tick_ms=tick_ms, language=transcript.language)
    return [[line.replace(WORD_JOINER, "") for line in cue.lines] for cue in cues]


@given(transcripts())
def test_subrip_read_back_by_pysubs2_gives_the_same_lines(transcript: Transcript) -> None:
    subs = pysubs2.SSAFile.from_string(render(transcript, "srt"), "srt", keep_html_tags=True)
    # A joiner after a backslash keeps a spoken "\N" apart from a line break: split first.
    lines = [[part.replace(WORD_JOINER, "") for part in event.text.split("\\N")] for event in subs]
    assert lines == written_lines(transcript, tick_ms=1)


@given(transcripts())
def test_webvtt_read_back_by_pysubs2_gives_the_same_lines(transcript: Transcript) -> None:
    subs = pysubs2.SSAFile.from_string(render(transcript, "vtt"), "vtt", keep_html_tags=True)
    lines = [
        [
            part.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").replace(WORD_JOINER, "")
            for part in event.text.split("\\N")
        ]
        for event in subs
    ]
    assert lines == written_lines(transcript, tick_ms=1)


@given(transcripts())
def test_ass_read_back_by_pysubs2_gives_the_same_lines(transcript: Transcript) -> None:
    subs = pysubs2.SSAFile.from_string(render(transcript, "ass"), "ass")
    lines = [
        [
            re.sub(r"\\(\{)\{\}\u2060|(\\)\u2060", r"\1\2", part).replace(WORD_JOINER, "")
            for part in event.text.split("\\N")
        ]
        for event in subs
    ]
    assert lines == written_lines(transcript, tick_ms=10)


@given(transcripts())
def test_no_word_is_hidden_from_a_reader_that_strips_ass_tags(transcript: Transcript) -> None:
    subs = pysubs2.SSAFile.from_string(render(transcript, "ass"), "ass")
    shown = "".join(event.plaintext for event in subs)
    letters = [char for word in transcript.words for char in one_line(word.text) if char.isalnum()]
    assert [char for char in shown if char.isalnum()] == letters


@given(transcripts(LONG_STARTS), st.sampled_from(["srt", "vtt", "ass"]))
def test_times_read_back_are_in_order_and_apart(transcript: Transcript, name: str) -> None:
    text = render(transcript, name)
    stamps = re.findall(r"(\d+):(\d\d):(\d\d)[.,](\d+)(?=,|\n| )", "\n".join(_time_lines(text, name)))
    times = [(int(h) * 3600 + int(m) * 60 + int(s)) * 1000 + int(f.ljust(3, "0")) for h, m, s, f in stamps]
    cues = make_cues(
        transcript.words,
        transcript.duration_s,
        preset_for(transcript.language),
        tick_ms=10 if name == "ass" else 1,
        language=transcript.language,
    )
    assert times == [time for cue in cues for time in (cue.start_ms, cue.end_ms)]


def _time_lines(text: str, name: str) -> list[str]:
    if name == "ass":
        return [",".join(line.split(",")[1:3]) + "\n" for line in text.split("\n") if line.startswith("Dialogue:")]
    return [line + "\n" for line in text.split("\n") if re.fullmatch(r"\d+:\d\d:\d\d[.,]\d{3} --> \S+", line)]


@given(transcripts(LONG_STARTS), st.sampled_from(sorted(FORMATS)))
def test_every_format_can_be_encoded(transcript: Transcript, name: str) -> None:
    text = render(transcript, name)
    assert text.encode("utf-8").decode("utf-8") == text
    assert text == "" or text.endswith("\n")


@given(transcripts(LONG_STARTS))
def test_the_list_of_words_keeps_the_contract(transcript: Transcript) -> None:
    words = json.loads(render(transcript, "words"), parse_constant=_refuse)
    assert [word["w"] for word in words] == [encodable(word.text) for word in transcript.words]
    assert all(0 <= word["s"] <= word["e"] <= transcript.duration_s for word in words)
    assert all(earlier["s"] <= later["s"] for earlier, later in pairwise(words))
    assert all(abs(word["s"] - said.start_s) <= 0.001 for word, said in zip(words, transcript.words, strict=True))


@given(transcripts(LONG_STARTS))
def test_the_json_has_every_word_twice_and_times_inside_the_file(transcript: Transcript) -> None:
    result = json.loads(render(transcript, "json"), parse_constant=_refuse)
    assert result["words"] == [word for segment in result["segments"] for word in segment["words"]]
    assert result["text"] == encodable(transcript.text)
    for item in [*result["words"], *result["segments"]]:
        assert 0 <= item["start"] <= item["end"] <= result["duration"]


@given(transcripts(LONG_STARTS))
def test_tab_separated_rows_have_three_fields_whatever_was_said(transcript: Transcript) -> None:
    heading, *rows = render(transcript, "tsv").splitlines()
    assert heading.split("\t") == ["start", "end", "text"]
    assert len(rows) == len(transcript.segments)
    for row, segment in zip(rows, transcript.segments, strict=True):
        start, end, text = row.split("\t")
        assert 0 <= int(start) <= int(end) <= transcript.duration_s * 1000
        assert text == one_line(segment.text)


@given(transcripts(LONG_STARTS))
def test_plain_text_has_one_line_a_segment(transcript: Transcript) -> None:
    assert render(transcript, "txt").splitlines() == [one_line(segment.text) for segment in transcript.segments]


def _refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is no JSON")

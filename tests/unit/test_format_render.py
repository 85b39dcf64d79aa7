from __future__ import annotations

import ast
import json
import math
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pysubs2
import pytest

import autorag_whisper
from autorag_whisper.domain.audio import MediaDamage, MediaInfo
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.notes import Note, NoteKind
from autorag_whisper.domain.transcript import (
    Attempt,
    Coverage,
    DeviceFallbackStep,
    RejectedText,
    Segment,
    Transcript,
    Word,
    WordSource,
)
from autorag_whisper.format import FORMATS, render

WORDS = (
    Word("Hello", 0.5, 0.9004, 0.98765, WordSource.TOKENS),
    Word("world.", 1.0, 1.4996, 0.5, WordSource.CTC, score=0.75),
)
SEGMENT = Segment(0, 0.5, 1.4996, "Hello world.", WORDS, "en", 30.25, (1, 2), -0.25, 1.1, 0.01, 0.2)
MEDIA = MediaInfo("wav", "pcm_s16le", 44_100, 2, 1, 3)
TRANSCRIPT = Transcript("a.wav", 8.47, "en", 0.99, "transcribe", (SEGMENT,), "base", "cuda:1", "float16", MEDIA)
EMPTY = replace(TRANSCRIPT, segments=())


def one_word(text: str, start_s: float = 0.0, language: str = "en") -> Transcript:
    word = Word(text, start_s, start_s + 1.0, 0.9)
    segment = Segment(0, word.start_s, word.end_s, text, (word,), language)
    return replace(TRANSCRIPT, segments=(segment,), duration_s=start_s + 5.0, language=language)


def test_the_table_of_formats_names_each_with_its_suffix() -> None:
    assert {name: info.suffix for name, info in FORMATS.items()} == {
        "srt": ".srt", "vtt": ".vtt", "ass": ".ass", "txt": ".txt", "tsv": ".tsv", "json": ".json",
        "words": ".words.json",
    }  # fmt: skip
    assert all(info.description for info in FORMATS.values())


def test_an_unknown_format_is_the_callers_fault_and_the_error_lists_the_known_ones() -> None:
    with pytest.raises(InvalidOption, match="srt or vtt or ass or txt or tsv or json or words"):
        render(TRANSCRIPT, "docx")


def test_listing_the_formats_loads_no_subtitle_library() -> None:
    code = "import sys, autorag_whisper.format; sys.exit('pysubs2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_subrip_cue_is_its_number_its_times_and_its_text() -> None:
    assert render(TRANSCRIPT, "srt") == "1\n00:00:00,500 --> 00:00:01,500\nHello world.\n\n"


def test_a_webvtt_file_has_its_heading_and_times_with_a_dot() -> None:
    assert render(TRANSCRIPT, "vtt") == "WEBVTT\n\n1\n00:00:00.500 --> 00:00:01.500\nHello world.\n\n"


def test_ass_has_a_screen_a_style_and_the_cue() -> None:
    text = render(TRANSCRIPT, "ass")
    assert "PlayResX: 1920\nPlayResY: 1080\n" in text
    assert text.endswith("\nDialogue: 0,0:00:00.50,0:00:01.50,Default,,0,0,0,,Hello world.\n")


def test_ass_lets_the_player_find_the_direction_of_right_to_left_text() -> None:
    def style(language: str) -> int:
        subs = pysubs2.SSAFile.from_string(render(one_word("x", language=language), "ass"), "ass")
        return int(subs.styles["Default"].encoding)

    assert (style("ar"), style("en")) == (-1, 1)


@pytest.mark.parametrize(
    ("name", "expected"), [("txt", "Hello world.\n"), ("tsv", "start\tend\ttext\n500\t1500\tHello world.\n")]
)
def test_a_plain_format_has_one_line_a_segment(name: str, expected: str) -> None:
    assert render(TRANSCRIPT, name) == expected


def test_the_list_of_words_is_the_contracts() -> None:
    assert json.loads(render(TRANSCRIPT, "words")) == [
        {"w": "Hello", "s": 0.5, "e": 0.9, "p": 0.9877},
        {"w": "world.", "s": 1.0, "e": 1.5, "p": 0.5},
    ]


@pytest.mark.parametrize(("name", "expected"), [("srt", ""), ("txt", ""), ("words", "[]\n"), ("vtt", "WEBVTT\n\n")])
def test_no_speech_gives_an_empty_file(name: str, expected: str) -> None:
    assert render(EMPTY, name) == expected


def test_no_speech_gives_a_valid_ass_file_without_a_cue() -> None:
    subs = pysubs2.SSAFile.from_string(render(EMPTY, "ass"), "ass")
    assert (len(subs), list(subs.styles)) == (0, ["Default"])


def test_no_speech_gives_json_with_empty_lists_and_no_text() -> None:
    result = json.loads(render(EMPTY, "json"))
    assert (result["text"], result["segments"], result["words"]) == ("", [], [])


def test_the_json_has_the_keys_and_kinds_of_openais_verbose_json() -> None:
    result = json.loads(render(TRANSCRIPT, "json"))
    assert result["task"] == "transcribe"
    assert result["language"] == "english"
    assert result["duration"] == 8.47
    assert result["usage"] == {"type": "duration", "seconds": 9}
    [segment] = result["segments"]
    shared = {key: segment[key] for key in ("id", "seek", "start", "end", "text", "tokens", "temperature")}
    assert shared == {
        "id": 0, "seek": 3025, "start": 0.5, "end": 1.5, "text": "Hello world.", "tokens": [1, 2], "temperature": 0.2,
    }  # fmt: skip
    figures = [segment[key] for key in ("avg_logprob", "compression_ratio", "no_speech_prob")]
    assert figures == [-0.25, 1.1, 0.01]
    assert result["words"][1] == {
        "word": "world.", "start": 1.0, "end": 1.5, "probability": 0.5, "source": "ctc", "score": 0.75,
        "space_before": True,
    }  # fmt: skip


def test_the_json_tells_how_the_result_came_about() -> None:
    attempt = Attempt(0.0, 5, 3000, -1.5, 3.0, 0.1, "compression ratio")
    transcript = replace(
        TRANSCRIPT,
        segments=(replace(SEGMENT, attempts=(attempt,)),),
        damage=MediaDamage(2, 0.5, truncated=True),
        rejected=(RejectedText(3.0, 4.0, "Thanks for watching!", "no speech"),),
        coverage=Coverage(1.0, 0.9, 0.1),
        device_fallbacks=(DeviceFallbackStep("recognise", "cuda:1", "cpu", "out_of_memory"),),
        notes=(Note(NoteKind.OTHER_AUDIO_STREAMS, "audio stream 1 of 3"),),
    )
    result = json.loads(render(transcript, "json"))
    assert [result[key] for key in ("model", "device", "compute_type")] == ["base", "cuda:1", "float16"]
    assert result["media"] == {
        "name": "a.wav", "container": "wav", "codec": "pcm_s16le", "sample_rate": 44_100, "channels": 2,
        "audio_stream": 1, "audio_streams": 3, "tracks": [],
        "damage": {"damaged_packets": 2, "gap_s": 0.5, "truncated": True},
    }  # fmt: skip
    assert result["rejected"] == [{"start": 3.0, "end": 4.0, "text": "Thanks for watching!", "reason": "no speech"}]
    assert result["coverage"] == {"speech_s": 1.0, "transcribed_s": 0.9, "skipped_s": 0.1, "holes": []}
    assert result["notes"] == [{"kind": "other_audio_streams", "text": "audio stream 1 of 3"}]
    assert result["device_fallbacks"][0]["cause"] == "out_of_memory"
    assert result["segments"][0]["attempts"][0]["rejected_for"] == "compression ratio"


def test_figures_that_are_not_finite_become_null() -> None:
    segment = replace(SEGMENT, avg_logprob=-math.inf, compression_ratio=math.nan)
    result = json.loads(render(replace(TRANSCRIPT, segments=(segment,)), "json"), parse_constant=pytest.fail)
    assert (result["segments"][0]["avg_logprob"], result["segments"][0]["compression_ratio"]) == (None, None)


def test_a_translation_is_english_text_of_foreign_speech() -> None:
    result = json.loads(render(replace(TRANSCRIPT, task="translate", language="ja"), "json"))
    assert (result["language"], result["language_code"], result["spoken_language_code"]) == ("english", "en", "ja")


def test_a_translation_is_laid_out_as_english() -> None:
    text = "This line is wider than sixteen cells."
    words = tuple(Word(word, n * 0.5, n * 0.5 + 0.5, 0.9) for n, word in enumerate(text.split()))
    segment = Segment(0, 0.0, 4.0, text, words, "ja")
    transcript = replace(TRANSCRIPT, task="translate", language="ja", segments=(segment,))
    assert f"\n{text}\n" in render(transcript, "srt")


def test_a_time_that_would_round_beyond_the_file_is_held_inside() -> None:
    word = Word("end", 0.1, 1.0006, 0.9)
    transcript = replace(TRANSCRIPT, duration_s=1.0006, segments=(Segment(0, 0.1, 1.0006, "end", (word,), "en"),))
    assert json.loads(render(transcript, "words"))[0]["e"] == 1.0
    assert render(transcript, "tsv").splitlines()[1] == "100\t1000\tend"


@pytest.mark.parametrize(
    ("name", "stamp"),
    [("srt", "100:00:00,000 --> 100:00:01,000"), ("vtt", "100:00:00.000 -->"), ("ass", ",100:00:00.00,100:00:01.00,")],
)
def test_times_after_ten_and_a_hundred_hours_are_written_out(name: str, stamp: str) -> None:
    """pysubs2 alone gives every cue after 9:59:59.99 (ASS) or 99:59:59,999 (SRT) that same time, with a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stamp in render(one_word("late", 360_000.0), name)


def test_a_cue_with_a_drawing_tag_in_its_text_is_not_dropped() -> None:
    """pysubs2 drops what looks like a drawing from SRT files."""
    assert "\n{\\p1}hm\n" in render(one_word("{\\p1}hm"), "srt")


@pytest.mark.parametrize(
    ("name", "said", "written"),
    [
        ("srt", "<b>{x}&amp;-->", "<b>{x}&amp;-->"),
        ("vtt", "<b>&amp;-->", "&lt;b&gt;&amp;amp;--&gt;"),
        ("ass", "{x}", "\\{{}\u2060x}"),
        ("ass", "C:\\New", "C:\\\u2060New"),
        ("srt", "C:\\New\\hat\\Temp", "C:\\\u2060New\\\u2060hat\\Temp"),
        ("srt", "a\nb", "a b"),
        ("srt", "x\x07\ud800", "x\ufffd\ufffd"),
        ("vtt", "00:01.500-00:02.500", "00:\u206001.500-00:\u206002.500"),
        ("vtt", "00:01.500", "00:01.500"),
    ],
)
def test_text_that_is_grammar_to_a_format_is_escaped(name: str, said: str, written: str) -> None:
    assert written in render(one_word(said), name).replace(",,", "\n").split("\n")


def test_a_brace_before_a_capital_n_is_no_line_break_to_a_reader_that_strips_tags() -> None:
    r"""Found by the property test: `\{{}N` without its empty block is `\N`."""
    [event] = pysubs2.SSAFile.from_string(render(one_word("{NOTE}"), "ass"), "ass")
    assert "NOTE" in event.plaintext


def test_json_keeps_control_characters_and_joins_surrogate_pairs() -> None:
    [word] = json.loads(render(one_word("a\nb\x00\ud83d\ude00\udc00"), "words"))
    assert word["w"] == "a\nb\x00\U0001f600\ufffd"


def test_of_pysubs2_the_whole_is_imported_and_never_a_part_alone() -> None:
    """Its parts import each other: two threads that began with two of them had an error of Python's import locks, once.

    It was found by the page, which asks for WebVTT and SRT at the same time: the first of its kind was answered 500.
    """
    found = 0
    for path in Path(autorag_whisper.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found += "pysubs2" in names
            assert not [name for name in names if name.startswith("pysubs2.")], path
    assert found

"""Laws of cues: what holds for any words, and that no cutting breaks fewer limits than the one chosen."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from autorag_whisper.domain.transcript import Word, join_words
from autorag_whisper.format.cues import make_cues, violations
from autorag_whisper.format.presets import ALPHABET, CHINESE, JAPANESE, MAX_MS, MIN_MS, RIGHT_TO_LEFT, Preset
from autorag_whisper.format.text import columns, one_line

PRESETS = st.sampled_from([ALPHABET, RIGHT_TO_LEFT, CHINESE, JAPANESE, Preset(8, 5)])
TICKS = st.sampled_from([1, 10])
NASTY = [
    "{x}", "{\\p1}", "<b>", "</i>", "&amp;", "-->", "C:\\New", "\\", "a\nb", "42", "7.", "٤٢",
    "00:00:01,000-->00:00:02,000", "00:01.500", "00:02.500", "👩‍👩‍👧", "שלום", "مرحبا،", "你好。", "っ",
    "\x00", "x\x1b[0m", "\ud800", "\u202eabc", "u\u2028v", "\ufdd0", "word,", "end.",
]  # fmt: skip
ANY_CHARACTER = st.characters(exclude_categories=())
TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text(ANY_CHARACTER, min_size=1, max_size=12),
    st.text("abc", min_size=1, max_size=100),
    st.lists(st.sampled_from(NASTY), min_size=2, max_size=3).map("".join),
).filter(lambda text: text.strip() == text != "")


@st.composite
def spoken(draw: st.DrawFn, texts: st.SearchStrategy[str] = TEXTS, most: int = 25) -> tuple[list[Word], float]:
    """Words with starts in order (ends may reach into later words), and the length of their file in seconds."""
    words, now = [], 0.0
    for text in draw(st.lists(texts, max_size=most)):
        now += draw(st.sampled_from([0.0, 0.0004, 0.05, 0.3, 1.1, 9.0]))
        length = draw(st.sampled_from([0.0, 0.02, 0.25, 0.8, 12.0]))
        words.append(Word(text, now, now + length, 0.5, space_before=draw(st.booleans())))
    duration = max([now + 0.5, *(word.end_s for word in words)])
    return words, duration


def without_blanks(text: str) -> str:
    return "".join(text.split())


@given(spoken(), PRESETS, TICKS)
def test_no_word_is_lost_or_moved(speech: tuple[list[Word], float], preset: Preset, tick: int) -> None:
    words, duration = speech
    cues = make_cues(words, duration, preset, tick_ms=tick)
    expected = "".join(one_line(word.text) for word in words)
    assert without_blanks("".join(line for cue in cues for line in cue.lines)) == without_blanks(expected)
    assert without_blanks("".join(cue.text for cue in cues)) == without_blanks(expected)


@given(spoken(), PRESETS, TICKS)
def test_cues_do_not_overlap_and_lie_inside_the_file_on_the_grid(
    speech: tuple[list[Word], float], preset: Preset, tick: int
) -> None:
    words, duration = speech
    cues = make_cues(words, duration, preset, tick_ms=tick)
    assert all(0 <= cue.start_ms < cue.end_ms for cue in cues)
    assert all(earlier.end_ms <= later.start_ms for earlier, later in pairwise(cues))
    assert all(time % tick == 0 for cue in cues for time in (cue.start_ms, cue.end_ms))
    assert all(cue.end_ms <= duration * 1000 + 1e-6 for cue in cues)


@given(st.integers(1, 300), st.integers(0, 100), TICKS)
def test_words_that_all_fall_on_one_instant_still_give_cues_in_order(count: int, at_ms: int, tick: int) -> None:
    at = at_ms / 1000
    words = [Word("crowded" * 3, at, at, 0.5) for _ in range(count)]
    cues = make_cues(words, at, ALPHABET, tick_ms=tick)
    assert " ".join(cue.text for cue in cues) == join_words(words)
    assert all(earlier.end_ms <= later.start_ms for earlier, later in pairwise(cues))
    if at_ms >= tick * len(cues):
        assert cues[-1].end_ms <= at_ms


@given(spoken(), PRESETS, TICKS)
def test_only_a_single_word_makes_a_line_too_wide_and_nothing_is_shown_too_long(
    speech: tuple[list[Word], float], preset: Preset, tick: int
) -> None:
    words, duration = speech
    cues = make_cues(words, duration, preset, tick_ms=tick)
    wide_words = sum(columns(one_line(word.text)) > preset.line_columns for word in words)
    found = violations(cues, preset)
    assert (found.wide, found.lines, found.long, found.overlapping) == (wide_words, 0, 0, 0)


@given(spoken(), PRESETS)
def test_a_cue_begins_when_its_first_word_does(speech: tuple[list[Word], float], preset: Preset) -> None:
    words, duration = speech
    words = [word for word, later in pairwise(words) if later.start_s - word.start_s > 0.01]
    starts = {round(word.start_s * 1000) for word in words}
    assert {cue.start_ms for cue in make_cues(words, duration, preset)} <= starts


@given(st.data(), PRESETS)
def test_nothing_is_broken_where_every_word_could_stand_alone(data: st.DataObject, preset: Preset) -> None:
    words, now_ms = [], 0
    for text in data.draw(st.lists(st.text("ab,.", min_size=1, max_size=8), min_size=1, max_size=30)):
        words.append(Word(text, now_ms / 1000, (now_ms + 50) / 1000, 0.5))
        now_ms += max(MIN_MS, preset.reading_ms(len(text))) + data.draw(st.integers(0, 2000))
    cues = make_cues(words, now_ms / 1000, preset)
    assert violations(cues, preset).total == 0


def broken_limits(words: list[Word], duration_ms: int, preset: Preset) -> int:
    """The oracle: the fewest limits of time that any cutting breaks, by trying every one."""

    def lay_out(group: list[Word]) -> bool:
        fits = [columns(join_words(group)) <= preset.line_columns or len(group) == 1]
        for turn in range(1, len(group)):
            upper, lower = join_words(group[:turn]), join_words(group[turn:])
            fits.append(max(columns(upper), columns(lower)) <= preset.line_columns and not lower.isdecimal())
        return any(fits)

    def start(at: int) -> int:
        return round(words[at].start_s * 1000) if at < len(words) else duration_ms

    def fewest(first: int) -> int:
        if first == len(words):
            return 0
        results = []
        for stop in range(first + 1, len(words) + 1):
            group = words[first:stop]
            last_seen = start(stop - 1) + min(round(group[-1].end_s * 1000) - start(stop - 1), MIN_MS)
            if len(group) > 1 and (not lay_out(group) or last_seen > start(first) + MAX_MS):
                continue
            shown = min(start(stop) - start(first), MAX_MS)
            reading = columns(join_words(group)) * 1000 / (preset.chars_per_s * preset.cell_columns)
            results.append((shown < reading) + (shown < MIN_MS) + fewest(stop))
        return min(results)

    return fewest(0)


@st.composite
def brief_speech(draw: st.DrawFn) -> tuple[list[Word], int]:
    """Up to nine words, milliseconds apart from each other, in a file of so many milliseconds."""
    gaps = st.sampled_from([30, 120, 260, 400, 900, 1500, 5000])
    texts = st.sampled_from(["a", "42", "you,", "there.", "somewhere", "你好。", "w" * 9])
    words, now = [], draw(st.integers(0, 500))
    for text in draw(st.lists(texts, min_size=1, max_size=9)):
        following = now + draw(gaps)
        end = draw(st.sampled_from([now, following, following + 3000]))
        words.append(Word(text, now / 1000, end / 1000, 0.5, space_before=draw(st.booleans())))
        now = following
    return words, max(now, *(round(word.end_s * 1000) for word in words))


@settings(max_examples=150)
@given(brief_speech(), st.sampled_from([Preset(8, 5), Preset(12, 9), Preset(9, 17), Preset(5, 4, cell_columns=2)]))
@example(([Word("wwwwwwww", 0.0, 0.5, 0.5), Word("42", 0.5, 1.0, 0.5)], 9000), Preset(8, 5))
def test_no_other_cutting_breaks_fewer_limits(speech: tuple[list[Word], int], preset: Preset) -> None:
    words, duration_ms = speech
    found = violations(make_cues(words, duration_ms / 1000, preset), preset)
    assert found.fast + found.short == broken_limits(words, duration_ms, preset)

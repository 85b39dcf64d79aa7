"""Laws of cues: what holds for any words, and that no cutting has lighter faults than the one chosen."""

from __future__ import annotations

from itertools import accumulate, pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from autorag_whisper.domain.transcript import Word, join_words
from autorag_whisper.format.breaks import bare
from autorag_whisper.format.cues import make_cues, violations
from autorag_whisper.format.cutting import FAULTS, Cutter
from autorag_whisper.format.function_words import function_words
from autorag_whisper.format.glue import phrases_of
from autorag_whisper.format.layout import Layout
from autorag_whisper.format.options import SubtitleOptions
from autorag_whisper.format.presets import (
    ALPHABET,
    CHINESE,
    JAPANESE,
    MIN_MS,
    RIGHT_TO_LEFT,
    STYLES,
    Preset,
    preset_for,
)
from autorag_whisper.format.text import columns, graphemes, one_line
from autorag_whisper.format.timing import Timeline
from examples import examples

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
    found = violations(cues, preset)
    assert (found.lines, found.long, found.overlapping) == (0, 0, 0)
    wide = [line for cue in cues for line in cue.words if columns(join_words(line)) > preset.line_columns]
    assert all(len(line) == 1 for line in wide)


@given(spoken(st.text("ab,.", min_size=1, max_size=60)), PRESETS)
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


def lightest(words: list[Word], duration_ms: int, preset: Preset) -> int:
    """The oracle: the weight of the lightest cutting, by trying every one."""
    layout = Layout(words, preset, language="en")
    cutter = Cutter(layout, Timeline.of(words, duration_ms / 1000, 1, preset), preset)

    def fewest(first: int) -> int:
        if first == len(words):
            return 0
        stops = [stop for stop in range(first + 1, len(words) + 1) if first in cutter.firsts(stop)]
        return min(weight(cutter, first, stop) + fewest(stop) for stop in stops)

    return fewest(0)


def weight(cutter: Cutter, first: int, stop: int) -> int:
    return sum(FAULTS[fault] for fault in cutter.faults(first, stop))


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


@examples(100)
@given(
    brief_speech(),
    st.sampled_from([Preset(8, 5), Preset(12, 9), Preset(9, 17, gap_ms=80), Preset(5, 4, cell_columns=2)]),
)
@example(([Word("wwwwwwww", 0.0, 0.5, 0.5), Word("42", 0.5, 1.0, 0.5)], 9000), Preset(8, 5))
def test_no_other_cutting_has_lighter_faults(speech: tuple[list[Word], int], preset: Preset) -> None:
    words, duration_ms = speech
    cutter = Cutter(Layout(words, preset, language="en"), Timeline.of(words, duration_ms / 1000, 1, preset), preset)
    assert sum(weight(cutter, first, stop) for first, stop in cutter.cut()) == lightest(words, duration_ms, preset)


def even(texts: list[str], word_ms: int, *, spaced: bool = True, pauses_ms: list[int] | None = None) -> list[Word]:
    """Words of `word_ms` each, with pauses after them."""
    words, now = [], 0
    for number, text in enumerate(texts):
        words.append(Word(text, now / 1000, (now + word_ms) / 1000, 0.9, space_before=spaced or number == 0))
        now += word_ms + (pauses_ms[number] if pauses_ms else 0)
    return words


TEXTS_OF_TIME = st.lists(st.sampled_from(["so", "word,", "end.", "the"]), min_size=1, max_size=40)
PAUSES = st.lists(st.sampled_from([0, 1, 29, 79, 120, 480, 499, 500, 900, 4000]), min_size=40, max_size=40)
STYLES_OF_TIME = st.sampled_from([ALPHABET, preset_for("en", "netflix"), preset_for("en", "bbc"), Preset(12, 9)])


@given(TEXTS_OF_TIME, PAUSES, STYLES_OF_TIME, TICKS)
def test_two_cues_are_apart_by_the_least_gap_or_one_that_can_be_seen(
    texts: list[str], pauses_ms: list[int], preset: Preset, tick: int
) -> None:
    """Measured on real speech before there was a rule: gaps of 29 ms, at which a picture flickers."""
    words = even(texts, 200, pauses_ms=pauses_ms)
    cues = make_cues(words, words[-1].end_s + 2, preset, tick_ms=tick, language="en")
    gaps = [later.start_ms - earlier.end_ms for earlier, later in pairwise(cues)]
    least = preset.gap_ms + -preset.gap_ms % tick
    assert all(gap == least or gap >= preset.chain_ms for gap in gaps)


@given(TEXTS_OF_TIME, PAUSES, STYLES_OF_TIME)
def test_a_cue_is_shown_from_its_first_word_until_its_last_is_over(
    texts: list[str], pauses_ms: list[int], preset: Preset
) -> None:
    words = even(texts, 200, pauses_ms=pauses_ms)
    cues = make_cues(words, words[-1].end_s + 2, preset, language="en")
    assert [word for cue in cues for line in cue.words for word in line] == words
    for cue, following in zip(cues, [*cues[1:], None], strict=True):
        spoken = [word for line in cue.words for word in line]
        assert cue.start_ms == round(spoken[0].start_s * 1000)
        latest = following.start_ms - preset.gap_ms if following else cue.end_ms
        assert cue.end_ms >= min(round(spoken[-1].end_s * 1000), latest)


NOUNS = st.sampled_from(["house", "river", "morning", "captain", "letters", "garden"])
VERBS = st.sampled_from(["painted", "followed", "remembered", "carries"])
PHRASES = st.tuples(st.sampled_from(["of the", "in a", "and the", "with my", "that this", "to his"]), NOUNS)
SENTENCES = st.tuples(NOUNS, VERBS, NOUNS, st.lists(PHRASES, max_size=6)).map(
    lambda s: " ".join(["The", s[0], s[1], "the", s[2], *(f"{opener} {noun}" for opener, noun in s[3])]) + "."
)


@given(st.lists(SENTENCES, min_size=1, max_size=5))
def test_no_sentence_is_torn_and_no_cue_or_line_ends_with_a_function_word(sentences: list[str]) -> None:
    """Before, of 101 cues over ten minutes 16 tore the next sentence, and 9 ended with "the", "of" and the like."""
    words = even(" ".join(sentences).split(), 600)
    cues = make_cues(words, words[-1].end_s + 1, ALPHABET, language="en")
    for cue in cues:
        assert ". " not in cue.text or cue.text.endswith(".")
        assert all(bare(line.split()[-1]) not in function_words("en") for line in cue.lines)


UNSPACED = {
    "ja": ["吾輩は猫である。", "名前はまだ無い。", "どこで生れたか", "とんと見当がつかぬ。", "今日は", "散歩に"],
    "zh": ["每個項目都是特定於國家地區的。", "例如,", "英,然後單集新建。", "若要創建項目,", "今天是晴天。", "我們"],
    "th": ["วันนี้", "อากาศดี", "ผมไปโรงเรียน", "ที่กรุงเทพฯ"],
}


@st.composite
def unspaced(draw: st.DrawFn) -> tuple[str, str]:
    """A language written without blanks, and some text in it."""
    language = draw(st.sampled_from(sorted(UNSPACED)))
    return language, "".join(draw(st.lists(st.sampled_from(UNSPACED[language]), min_size=1, max_size=10)))


@given(unspaced(), st.data())
def test_scripts_without_blanks_break_between_phrases_alone(written: tuple[str, str], data: st.DataObject) -> None:
    """Whisper's words are single characters there: a line could begin with the second half of a word."""
    language, text = written
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1))))
    words = even([text[a:b] for a, b in pairwise([0, *cuts, len(text)])], 250, spaced=False)
    preset = preset_for(language)
    parts = phrases_of(text, language)
    allowed = set(accumulate((len(part) for part in parts), initial=0))
    at = 0
    for cue in make_cues(words, words[-1].end_s + 1, preset, language=language):
        for line in cue.lines:
            assert at in allowed
            assert columns(line) <= preset.line_columns
            at += len(line)
    assert at == len(text)


CLUSTERS = ["e\u0301", "👩‍👩‍👧", "🇩🇪", "👍🏽", "क्षि", "ש\u05b8", "각", "a", " "]


@given(st.lists(st.sampled_from(CLUSTERS), min_size=1, max_size=60).map("".join), st.data())
def test_no_character_that_a_reader_sees_is_broken(text: str, data: st.DataObject) -> None:
    text = text.strip() or "a"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1)))) if len(text) > 1 else []
    words, now = [], 0.0
    for first, stop in pairwise([0, *cuts, len(text)]):
        part = text[first:stop]
        if part.strip():
            blank = part[0].isspace() or (first > 0 and text[first - 1].isspace())
            words.append(Word(part.strip(), now, now + 0.1, 0.9, space_before=blank))
            now += 0.1
    whole = [part for part in graphemes(join_words(words)) if not part.isspace()]
    lines = [line for cue in make_cues(words, now + 1, ALPHABET) for line in cue.lines]
    assert [part for line in lines for part in graphemes(line) if not part.isspace()] == whole


OPTIONS = st.builds(
    SubtitleOptions,
    style=st.sampled_from(STYLES),
    line_length=st.none() | st.integers(4, 60),
    lines=st.none() | st.integers(1, 4),
    max_words=st.none() | st.integers(1, 5),
    reading_speed=st.none() | st.floats(5, 40),
    min_duration_s=st.none() | st.floats(0, 2),
    max_duration_s=st.none() | st.floats(2, 9),
    min_gap_s=st.none() | st.floats(0, 0.4),
)


@given(spoken(most=20), OPTIONS, TICKS, st.sampled_from(["en", "ja", "ar"]))
def test_every_option_is_kept(
    speech: tuple[list[Word], float], options: SubtitleOptions, tick: int, language: str
) -> None:
    words, duration = speech
    preset = options.limits(language)
    cues = make_cues(words, duration, preset, tick_ms=tick, language=language)
    found = violations(cues, preset)
    assert (found.lines, found.long, found.overlapping) == (0, 0, 0)
    wide = [line for cue in cues for line in cue.words if columns(join_words(line)) > preset.line_columns]
    assert all(len(line) == 1 for line in wide)
    assert all(sum(map(len, cue.words)) <= (preset.max_words or 99) for cue in cues)

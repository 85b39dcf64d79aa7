from __future__ import annotations

import pytest

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.transcript import Word
from autorag_whisper.format.breaks import Breaks
from autorag_whisper.format.cues import Cue, Violations, make_cues, violations
from autorag_whisper.format.glue import Glue, phrases_of
from autorag_whisper.format.options import SubtitleOptions
from autorag_whisper.format.presets import ALPHABET, JAPANESE, KOREAN, RIGHT_TO_LEFT, SOUTH_EAST_ASIAN, preset_for


def spoken(text: str, *, word_s: float = 0.4, pauses: dict[str, float] | None = None) -> tuple[list[Word], float]:
    """The words of `text` at an even pace, with a pause in seconds after those named in `pauses`."""
    words, now = [], 0.0
    for part in text.split():
        words.append(Word(part, now, now + word_s, 0.9))
        now += word_s + (pauses or {}).get(part, 0.0)
    return words, now


def unspaced(parts: str, *, word_s: float = 0.4) -> tuple[list[Word], float]:
    words = [
        Word(part, n * word_s, (n + 1) * word_s, 0.9, space_before=False) for n, part in enumerate(parts.split("|"))
    ]
    return words, len(words) * word_s


def lines_of(words: list[Word], duration_s: float) -> list[tuple[str, ...]]:
    return [cue.lines for cue in make_cues(words, duration_s, ALPHABET)]


def test_no_words_give_no_cues() -> None:
    assert make_cues([], 5.0, ALPHABET) == ()


def test_a_short_sentence_stays_on_one_line() -> None:
    assert lines_of(*spoken("We choose to go to the moon.")) == [("We choose to go to the moon.",)]


def test_cues_are_cut_where_sentences_end() -> None:
    text = "This is the first sentence of the two we say. And this one here would be the second sentence."
    assert [" ".join(lines) for lines in lines_of(*spoken(text))] == [
        "This is the first sentence of the two we say.",
        "And this one here would be the second sentence.",
    ]


def test_cues_are_cut_at_a_pause_where_there_is_no_stop() -> None:
    text = "one two three four five six seven eight nine ten eleven twelve"
    words, duration = spoken(text, pauses={"four": 2.0})
    assert [" ".join(lines) for lines in lines_of(words, duration)] == [
        "one two three four",
        "five six seven eight nine ten eleven twelve",
    ]


def test_the_dot_of_a_title_ends_no_sentence() -> None:
    text = "If you would like to be the one who hears it then ask for Dr. Smith down in the hall on the left."
    assert not any(" ".join(lines).endswith("Dr.") for lines in lines_of(*spoken(text)))


def test_a_sentence_is_not_torn_two_words_after_the_last_one_ended() -> None:
    text = (
        "not because they are easy, but because they are hard. "
        "Because that goal will serve to organize and measure the best of our energies and skills."
    )
    cues = [" ".join(lines) for lines in lines_of(*spoken(text, word_s=0.33))]
    assert cues[0] == "not because they are easy, but because they are hard."


@pytest.mark.parametrize(
    ("text", "language", "bound"),
    [
        ("Americans, ask not what your country", "en", ["ask", "what", "your"]),
        ("we do not know him", "en", ["we", "do", "not"]),
        ("I hope not, said Peter", "en", ["I", "hope"]),
        ("not yet", "en", ["not"]),
        ("Peter weiß nicht warum", "de", ["weiß"]),
        ("Pierre parle pas beaucoup", "fr", ["parle"]),
    ],
)
def test_a_negation_belongs_to_the_verb_that_it_denies(text: str, language: str, bound: list[str]) -> None:
    """ "ask | not what your country can do for you" was torn there."""
    words, _ = spoken(text)
    breaks = Breaks(words, [Glue.NONE] * len(words), language)
    assert [word.text for word, is_bound in zip(words, breaks.bound[1:], strict=True) if is_bound] == bound


def test_a_line_breaks_after_a_clause_rather_than_in_the_very_middle() -> None:
    [lines] = lines_of(*spoken("When evening came, all of them went back home.", word_s=0.5))
    assert lines == ("When evening came,", "all of them went back home.")


def test_no_line_is_left_with_one_word_where_another_break_fits() -> None:
    [lines] = lines_of(*spoken("Internationalization gives us all a headache", word_s=0.6))
    assert lines == ("Internationalization gives", "us all a headache")


def test_a_last_line_never_is_a_bare_number() -> None:
    """pysubs2 takes digits on the last line of a file for the number of a cue that follows, and drops them."""
    words, duration = spoken("a sentence of exactly forty-two characters 42", word_s=0.4)
    assert len("a sentence of exactly forty-two characters") == 42
    assert not any(cue[-1] == "42" for cue in lines_of(words, duration) if len(cue) > 1)


def test_an_end_is_put_off_into_the_silence_until_the_text_can_be_read() -> None:
    words = [Word("Understandably", 1.0, 1.1, 0.9), Word("so.", 1.1, 1.2, 0.9), Word("Well.", 9.0, 9.5, 0.9)]
    first, last = make_cues(words, 12.0, ALPHABET)
    assert (first.start_ms, first.end_ms) == (1000, 2059)  # 18 characters at 17 a second
    assert (last.start_ms, last.end_ms) == (9000, 10_000)


def test_no_cue_ends_after_the_file() -> None:
    [cue] = make_cues([Word("Bye.", 4.5, 4.9, 0.9)], 5.0004, ALPHABET)
    assert cue.end_ms == 5000
    assert violations([cue], ALPHABET) == Violations(short=1)


def test_speech_that_nobody_can_read_is_counted_as_fast() -> None:
    words, duration = spoken("unbelievably quick speakers everywhere", word_s=0.1)
    cues = make_cues(words, duration, ALPHABET)
    assert violations(cues, ALPHABET) == Violations(fast=1, short=1)


def test_a_word_dragged_over_a_silence_is_shown_for_seven_seconds_at_most() -> None:
    [cue] = make_cues([Word("so", 0.0, 0.3, 0.9), Word("long", 0.3, 20.0, 0.9)], 20.0, ALPHABET)
    assert (cue.start_ms, cue.end_ms) == (0, 7000)


def test_ass_times_lie_on_hundredths_of_a_second() -> None:
    words = [Word("one.", 0.004, 3.006, 0.9), Word("two.", 3.006, 6.018, 0.9), Word("three.", 13.006, 15.0, 0.9)]
    cues = make_cues(words, 15.009, ALPHABET, tick_ms=10)
    assert [(cue.start_ms, cue.end_ms) for cue in cues] == [(0, 6020), (13_010, 15_000)]


def test_words_of_scripts_without_blanks_are_joined_without() -> None:
    words, duration = unspaced(
        "吾輩|は|猫|で|ある。|名前|は|まだ|無い。|どこ|で|生れた|か|とんと|見当|が|つかぬ。", word_s=0.5
    )
    cues = make_cues(words, duration, JAPANESE)
    assert "".join(cue.text for cue in cues) == "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"
    assert violations(cues, JAPANESE).wide == 0


def test_full_width_characters_count_double() -> None:
    sixteen = Cue(0, 7000, ("一" * 16,), "一" * 16)
    seventeen = Cue(0, 7000, ("一" * 17,), "一" * 17)
    narrow = Cue(0, 7000, ("a" * 32,), "a" * 32)
    assert violations([sixteen], JAPANESE).wide == 0
    assert violations([seventeen], JAPANESE).wide == 1
    assert violations([narrow], JAPANESE).wide == 0


def test_no_line_begins_with_a_small_kana_where_another_break_fits() -> None:
    words, duration = unspaced("あ|い|う|え|お|か|き|く|け|っ|た|ち|つ|て|と|な|に|の", word_s=0.3)
    [cue] = make_cues(words, duration, JAPANESE)
    assert cue.lines == ("あいうえおかきく", "けったちつてとなにの")


def test_no_cue_begins_with_a_small_kana_where_another_cut_fits() -> None:
    words, duration = unspaced(
        "|".join("あいうえおかきくけこさしすせそたっちつてとなにぬねのはひふへほまみむ"), word_s=0.3
    )
    cues = make_cues(words, duration, JAPANESE)
    assert len(cues) > 1
    assert all(line[0] != "っ" for cue in cues for line in cue.lines)


def test_every_limit_is_counted_apart() -> None:
    wide = Cue(0, 7000, ("a" * 43,), "a" * 43)
    tall = Cue(7000, 9000, ("a", "b", "c"), "a b c")
    fast = Cue(9000, 10_000, ("a" * 18,), "a" * 18)
    short = Cue(9500, 10_499, ("a",), "a")
    long = Cue(11_000, 18_001, ("a",), "a")
    found = violations([wide, tall, fast, short, long], ALPHABET)
    assert found == Violations(wide=1, lines=1, fast=1, short=1, long=1, overlapping=1)
    assert found.total == 6


@pytest.mark.parametrize(("start_ms", "end_ms"), [(-1, 5), (5, 5), (6, 5)])
def test_a_cue_without_length_cannot_be_made(start_ms: int, end_ms: int) -> None:
    with pytest.raises(InvalidOption, match="cue times"):
        Cue(start_ms, end_ms, ("a",), "a")


def test_scripts_have_their_own_limits() -> None:
    assert [preset_for(code) for code in ("en", "ja", "ko", "th", "ar")] == [
        ALPHABET, JAPANESE, KOREAN, SOUTH_EAST_ASIAN, RIGHT_TO_LEFT,
    ]  # fmt: skip
    assert (ALPHABET.line_chars, ALPHABET.chars_per_s) == (42, 17)
    assert KOREAN.line_columns == 32


def test_a_cue_ends_elsewhere_where_its_line_could_only_break_behind_an_article() -> None:
    """On two lines of 42 the whole could only break at "for the / accommodation": the rest is wider than a line."""
    text = "He has refused to pass other laws for the accommodation of large districts of people."
    words, duration = spoken(text, word_s=0.45)
    lines = [line for cue in make_cues(words, duration, ALPHABET, language="en") for line in cue.lines]
    assert [line.split()[-1] for line in lines] == ["laws", "accommodation", "people."]


def test_a_preset_of_ten_lines_is_laid_out_in_no_time() -> None:
    """Trying every way to break so many lines would take longer than the world has been there."""
    words, duration = spoken("word " * 300, word_s=0.2)
    cues = make_cues(words, duration, SubtitleOptions(lines=10, line_length=24, max_duration_s=60).limits("en"))
    assert max(len(cue.lines) for cue in cues) == 10


@pytest.mark.parametrize(
    ("text", "language", "phrases"),
    [
        ("例如,你可以。", "zh", ["例如,", "你", "可以。"]), ("上傳的音頻,我們", "zh", ["上傳的", "音頻,", "我們"]),
        ("今日は天気です。明日は雨。", "ja", ["今日は", "天気です。", "明日は", "雨。"]), ("hello, there", "en", []),
    ],
)  # fmt: skip
def test_punctuation_of_any_width_ends_a_phrase_and_begins_none(text: str, language: str, phrases: list[str]) -> None:
    """BudouX knows full-width punctuation alone: "例如|," and "英,然|後" are its cuts where Whisper writes a comma."""
    assert phrases_of(text, language) == phrases


def test_a_number_keeps_its_unit_and_a_month_its_day() -> None:
    text = (
        "Mr. Donovan and Dr. Abbott will visit the whole of Rome from December 29 to January 18. It costs 75 dollars."
    )
    words, duration = spoken(text, word_s=0.5)
    lines = [line for cue in make_cues(words, duration, ALPHABET, language="en") for line in cue.lines]
    assert not any(line.endswith((" January", " 75")) for line in lines)
    breaks = Breaks(words, [Glue.NONE] * len(words), "en")
    bound = [word.text for word, is_bound in zip(words, breaks.bound[1:], strict=True) if is_bound]
    assert bound == ["Mr.", "and", "Dr.", "will", "the", "of", "from", "to", "January", "It", "75"]

"""Words by the letters that a classifier hears: where they are, what is none of them, and what cannot be told."""

from __future__ import annotations

import numpy as np
import pytest

from autorag_whisper.align import letter_search
from autorag_whisper.align.letter_edges import sharpened
from autorag_whisper.align.letter_path import LetterPath, words_by_letters
from autorag_whisper.align.letter_text import FOREIGN, GAP, letter_text
from autorag_whisper.align.onset_spelling import with_onsets
from autorag_whisper.align.text_normalization import readings
from letter_hearing import ALPHABET, SURE, planted, reading_classifier

GREEK = tuple("αβγδεζηθικλμνξοπρστυφχψω")
KANA = tuple("あいうえおかきくけこさしすせそたちつてとなにぬねのまみむめもらりるれろわをん\u3099")
JAMO = tuple(chr(code) for code in (*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A8, 0x11C3)))


def path_of(heard: str, text: str, language: str = "en", alphabet: tuple[str, ...] = ALPHABET) -> LetterPath:
    classifier = reading_classifier(alphabet)
    frames = classifier.log_probabilities(planted(heard, classifier))
    quiet = np.zeros(len(heard), np.float32)
    found = words_by_letters(frames, classifier, readings(text.split(), language), quiet)
    assert found is not None
    return found


def said(heard: str, text: str, language: str = "en", alphabet: tuple[str, ...] = ALPHABET) -> list[str]:
    """What is heard in the frames of each word."""
    return [heard[int(start) : int(stop)] for start, stop in path_of(heard, text, language, alphabet).spans]


def test_every_word_has_the_frames_of_its_letters_and_a_pause_is_nobodys() -> None:
    assert said("..oooonne....ttwwwoo.", "One two.") == ["oooonne", "ttwwwoo"]
    assert path_of("..oooonne....ttwwwoo.", "One two.").scores == pytest.approx([1, 1], abs=0.02)


def test_speech_that_the_text_leaves_out_pushes_nobody_and_is_told() -> None:
    heard = "..ooonnnee..uuuuhhhhmmmm..ttwwwoo."
    assert said(heard, "one two") == ["ooonnnee", "ttwwwoo"]
    assert [heard[start:stop] for start, stop in path_of(heard, "one two").foreign] == ["uuuuhhhhmmmm"]


def test_a_word_said_twice_and_written_once_is_one_of_the_two() -> None:
    assert said("tthhee....tthhee.ccaatt", "the cat") == ["tthhee", "ccaatt"]


def test_a_word_that_is_not_heard_has_no_time_and_costs_its_neighbours_none() -> None:
    found = path_of("..ooonnnee...ttwwwoo.", "one million two")
    assert found.spans.tolist() == [[2, 10], [10, 10], [13, 20]]
    assert found.scores[1] == 0


def test_a_letter_that_is_not_said_is_left_out() -> None:
    assert said("..nnnooot..", "knot") == ["nnnooot"]
    assert said("..ddaaarrrss..", "dollars") == ["ddaaarrrss"]


@pytest.mark.parametrize("way", ["twelve fifty", "one thousand two hundred fifty", "one two five zero"])
def test_a_number_is_said_in_one_of_several_ways_and_is_all_of_what_was_said(way: str) -> None:
    number = "".join(2 * letter for letter in way.replace(" ", ""))
    heard = f"..tthheerree.wweerree{number}sstuudents.."
    assert said(heard, "There were 1,250 students.")[1:3] == ["wweerree", number]


def test_the_unit_of_an_amount_belongs_to_it_however_the_number_is_said() -> None:
    number = "".join(3 * letter for letter in "twelvefiftydollars")
    assert said(f"ppaayy{number}nnooww", "pay $1,250 now") == ["ppaayy", number, "nnooww"]


def test_no_number_reaches_over_a_second_of_other_speech() -> None:
    other = "uhm" * 40  # most of a sentence that the text leaves out
    heard = "..ttwweennttyy" + other + "ooonnnee....eeeggggg."
    assert said(heard, "21 egg") == ["ttwweennttyy", "eeeggggg"]


def test_a_word_that_is_not_said_has_no_time_of_its_own() -> None:
    assert path_of("..ooonnnee..ttwwoo", "one 😀 two").spans.tolist() == [[2, 10], [10, 10], [12, 18]]


def test_a_letter_that_two_words_share_is_divided_between_them() -> None:
    # In the frames of "at the" nothing tells the end of "at".
    assert path_of("..aaatttttthhee", "at the").spans.tolist() == [[2, 8], [8, 15]]


def test_a_sign_between_words_that_share_a_letter_lies_where_they_meet() -> None:
    assert path_of("..aaatttttthhee", "at 😀 the").spans.tolist() == [[2, 8], [8, 8], [8, 15]]
    assert path_of("..aaatthhee", "at 😀 the").spans.tolist() == [[2, 6], [6, 6], [6, 11]]


def test_numbers_behind_all_that_is_heard_cost_the_others_nothing() -> None:
    found = path_of("..ccaaaatt", "cat" + 4 * " 600")
    assert found.spans.tolist() == [[2, 10], *[[10, 10]] * 4]


def test_accents_and_letters_with_names_of_their_own_are_heard_as_they_are_written() -> None:
    assert said(".eelleevvee..sstraasse..", "Élève Straße", "de") == ["eelleevvee", "sstraasse"]


def test_other_alphabets_are_heard_where_a_classifier_has_them() -> None:
    greek = ".κκααλλοοςς...μμεερρα.".replace("ς", "\u03c3")
    assert said(greek, "Καλός μέρα", "el", GREEK) == [greek[1:11], greek[14:21]]
    assert said("..かかたた..ののか..", "カタ のか", "ja", KANA) == ["かかたた", "ののか"]
    jamo = "..\u1112\u1112\u1161\u1161\u11ab\u11ab..\u1100\u1173\u11af.."
    assert said(jamo, "한 글", "ko", JAMO) == [jamo[2:8], jamo[10:13]]


@pytest.mark.parametrize(("text", "language"), [("Καλή μέρα", "el"), ("今日は", "ja"), ("😀 …", "en"), ("मैं", "hi")])
def test_a_text_in_another_script_is_not_for_this_classifier(text: str, language: str) -> None:
    assert letter_text(readings(text.split(), language), ALPHABET) is None


def test_a_word_of_another_script_in_a_text_of_this_one_has_its_letters_in_the_symbol_for_others() -> None:
    text = "this is a long sentence with one word in greek, namely και"
    heard = "".join(text.replace(",", "").split()[:-1]) + "..####."
    assert said(heard, text)[-1] == "####"


def test_a_number_that_cannot_be_said_is_any_speech_between_its_neighbours() -> None:
    assert said("wwaann..sseettgguu..ssaatt", "wan 31 sat", "haw")[1] == "sseettgguu"


def test_a_word_that_begins_with_a_sound_that_it_is_not_written_with_begins_there() -> None:
    """The w of "one" was taken for speech that is no word."""
    ways = with_onsets(readings(["One", "won", "18"], "en"), "en")
    assert ways == [[("wone",)], [("won",)], [("aeighteen",)]]
    assert with_onsets(readings(["one"], "fr"), "fr") == [[("one",)]]
    assert with_onsets([[("ONE",)]], "en") == [[("wone",)]]
    classifier = reading_classifier()
    heard = "..wwwwwwonnn...aaaeiitt.."
    frames = classifier.log_probabilities(planted(heard, classifier))
    found = words_by_letters(
        frames, classifier, with_onsets(readings(["1", "8"], "en"), "en"), np.zeros(len(heard), np.float32)
    )
    assert found is not None
    assert found.spans.tolist() == [[2, 12], [15, 23]]


def test_there_is_a_gap_on_both_sides_of_every_word_and_between_the_words_of_a_number() -> None:
    text = letter_text([[("a",)], [("b", "c")]], ALPHABET)
    assert text is not None
    between = [GAP, FOREIGN, GAP]
    assert text.symbols.tolist() == [*between, 1, *between, 2, *between, 3, *between]
    assert text.owners.tolist() == [-1] * 3 + [0] + [-1] * 3 + [1] + [-1] * 3 + [1] + [-1] * 3


def test_what_energy_calls_silent_is_no_letter() -> None:
    """A classifier hears the last letter on in the echo of it, or in the hiss behind it."""
    classifier = reading_classifier()
    heard = 0.2 * planted("..ccaattttttttt", classifier)
    quiet = np.asarray([1, 1, *[0] * 8, *[1] * 5], np.float32)
    found = words_by_letters(classifier.log_probabilities(heard), classifier, [[("cat",)]], quiet)
    assert found is not None
    assert found.spans.tolist() == [[2, 10]]


def test_a_silence_that_energy_knows_is_silence_though_the_classifier_hears_a_letter_in_it() -> None:
    """Energy counts for silence as well as against letters: each alone is outweighed by an echo of three nats."""
    classifier = reading_classifier()
    heard = planted("..ccaatttt..ddoogg..", classifier)
    heard[8:12] *= 3 / SURE  # what was heard behind "cat" is a weak "t", and hardly that of a silence
    heard[10:12] = heard[9]
    quiet = np.asarray([1, 1, *[0] * 6, *[1] * 4, *[0] * 6, 1, 1], np.float32)
    found = words_by_letters(classifier.log_probabilities(heard), classifier, [[("cat",)], [("dog",)]], quiet)
    assert found is not None
    assert found.spans.tolist() == [[2, 8], [12, 18]]


def test_a_letter_must_be_missed_only_where_its_word_is_said_in_one_way() -> None:
    """Whether "12" is "twelve" or "one two" is found by what is heard: neither may cost what a lost word costs."""
    ways = [("twelve",), ("one", "two")]
    text = letter_text([[("a", "b")], ways, [("cd",)]], ALPHABET)
    assert text is not None
    assert text.owners[text.expected].tolist() == [0, 0, 2, 2]
    prices = np.diff(letter_search.prices(text))
    assert set(prices[text.owners == 1]) == {1.0}
    assert set(prices[text.expected]) == {letter_search.LEFT_OUT}


def test_no_frames_have_no_path() -> None:
    classifier = reading_classifier()
    nothing = classifier.log_probabilities(np.zeros((1, classifier.width), np.float32))[:0]
    assert words_by_letters(nothing, classifier, [[("a",)]], np.zeros(0, np.float32)) is None


WORDS = np.asarray([[1.0, 2.0], [2.5, 3.0]])


@pytest.mark.parametrize(
    ("quiet", "foreign", "expected"),
    [
        ((0.0, 0.98), (), [[0.98, 2.0], [2.5, 3.0]]),
        ((0.0, 1.05), (), [[1.05, 2.0], [2.5, 3.0]]),  # letters are heard over three frames
        ((0.0, 1.07), (), [[1.0, 2.0], [2.5, 3.0]]),  # too far in: a closed mouth in the word
        ((0.0, 0.86), (), [[0.86, 2.0], [2.5, 3.0]]),  # what sounds before "one" is its w
        ((0.0, 0.84), (), [[1.0, 2.0], [2.5, 3.0]]),
        ((0.0, 0.86), ((0.88, 0.98),), [[1.0, 2.0], [2.5, 3.0]]),  # "uh one"
        ((2.1, 2.45), (), [[1.0, 2.1], [2.45, 3.0]]),
        ((3.1, 4.0), (), [[1.0, 2.0], [2.5, 3.1]]),
        ((2.96, 4.0), (), [[1.0, 2.0], [2.5, 2.96]]),
    ],
)
def test_an_edge_next_to_a_silence_is_that_silences(
    quiet: tuple[float, float], foreign: tuple[tuple[float, float], ...], expected: list[list[float]]
) -> None:
    np.testing.assert_allclose(sharpened(WORDS, [quiet], foreign), expected)


def test_the_edges_of_no_words_are_none() -> None:
    assert sharpened(np.zeros((0, 2)), [(0.0, 1.0)]).shape == (0, 2)


def test_no_edge_is_moved_to_a_silence_that_another_word_lies_in_or_reaches() -> None:
    close = np.array([[0.0, 1.0], [1.02, 2.0]])
    np.testing.assert_allclose(sharpened(close, [(0.95, 1.05)]), [[0.0, 0.95], [1.05, 2.0]])
    # A word of a frame or two between the silence and its neighbour.
    short = np.array([[0.0, 1.0], [1.0, 1.04], [1.04, 2.0]])
    found = sharpened(short, [(0.5, 1.03)])
    assert (found[:, 1] >= found[:, 0]).all()
    assert (found[1:, 0] >= found[:-1, 1]).all()


@pytest.mark.parametrize("quiet", [(0.9, 1.1), (0.98, 1.06), (0.4, 1.6), (1.0, 1.02)])
def test_words_are_apart_whatever_silence_lies_on_them(quiet: tuple[float, float]) -> None:
    spans = np.array([[0.0, 1.0], [0.98, 1.06], [1.02, 1.5], [1.5, 2.0]])
    found = sharpened(spans, [quiet])
    assert (np.diff(found[:, 0]) >= 0).all()
    assert (found[:-1, 1] <= found[1:, 0]).all()


def test_a_silence_takes_nothing_from_the_word_before_the_one_it_bounds() -> None:
    reaching = np.array([[0.0, 1.1], [1.1, 2.0]])
    np.testing.assert_allclose(sharpened(reaching, [(0.8, 1.05)]), reaching)


def test_where_a_word_that_is_not_heard_is_moved_to_a_silence_the_next_one_is_not_before_it() -> None:
    unheard = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 2.0]])
    found = sharpened(unheard, [(0.5, 1.05)])
    np.testing.assert_allclose(found[:, 0], [0.0, 1.05, 1.05])
    assert (found[:, 1] >= found[:, 0]).all()

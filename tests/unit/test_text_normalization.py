"""Written words as they are spoken: numbers, signs, abbreviations, in many languages; the display stays untouched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align import numbers
from autorag_whisper.align.text_normalization import readings, spoken_words
from autorag_whisper.domain.language import LANGUAGES


def said(text: str, language: str = "en") -> list[str]:
    """What is said for each written word."""
    return [" ".join(spoken) for spoken in spoken_words(text.split(), language)]


CASES = {
    "plain words keep their letters": ("Don't stop, O\u2019Brien!", ["Don't", "stop", "O\u2019Brien"]),
    "numbers": ("350 tickets, 1,234,567 of 0", ["three hundred fifty", "tickets",
        "one million two hundred thirty four thousand five hundred sixty seven", "of", "zero"]),
    "money": ("$25 $2.50 25€ £3, $3M", ["twenty five dollars", "two dollars and fifty cents", "twenty five euros",
        "three pounds", "three million dollars"]),
    "money behind which a scale is said first": ("$3.5 million more", ["three point five", "million dollars", "more"]),
    "money at the end of a sentence": ("$55 million. Then", ["fifty five", "million dollars", "Then"]),
    "units behind a number": ("64GB 10km GB", ["sixty four gigabytes", "ten kilometers", "G B"]),
    "percent": ("100% 3.75%.", ["one hundred percent", "three point seven five percent"]),
    "times": ("7:30 10:05pm 9:00 a.m.", ["seven thirty", "ten oh five p m", "nine", "a m"]),
    "dates": ("2024-05-06 June 14, 1969,", ["twenty twenty four five six", "June", "fourteenth",
        "nineteen sixty nine"]),
    "years": ("1905 2000 2010 1066", ["nineteen oh five", "two thousand", "twenty ten", "one thousand sixty six"]),
    "ordinals": ("1st 22nd 103rd", ["first", "twenty second", "one hundred third"]),
    "abbreviations": ("Dr. Smith vs. Mr. Jones etc.", ["doctor", "Smith", "versus", "mister", "Jones", "et cetera"]),
    "acronyms letter by letter": ("the BBC U.S.A. NASA.", ["the", "B B C", "U S A", "N A S A"]),
    "letters and digits mixed": ("COVID-19 mp3 B2B", ["C O V I D nineteen", "mp three", "B two B"]),
    "digits one by one": ("007 555-0199 4111111111111111", ["zero zero seven",
        "five hundred fifty five zero one nine nine", "four " + " ".join(["one"] * 15)]),
    "signs": ("R&D 2+2 -5 20°", ["R and D", "two plus two", "minus five", "twenty degrees"]),
    "marks are not said": ("— … \u201chush\u201d", ["", "", "hush"]),
    "symbols stay, for the wildcard": ("🙂 ♪ 5♥", ["🙂", "♪", "five ♥"]),
    "parts": ("well-known and/or", ["well known", "and or"]),
    "full-width digits": ("\uff11\uff19\uff16\uff19", ["nineteen sixty nine"]),
}  # fmt: skip


def test_a_number_may_be_said_in_several_ways_with_what_is_said_beside_it() -> None:
    [[*ways], [word], nothing] = readings(["$1,250", "apples", "…"], "en")
    assert [" ".join(way) for way in ways] == [
        "one thousand two hundred fifty dollars", "twelve fifty dollars", "one two five zero dollars",
    ]  # fmt: skip
    assert (word, nothing) == (("apples",), [])
    assert [" ".join(way) for way in readings(["275"], "en")[0]] == [
        "two hundred seventy five", "two seven five", "two seventy five",
    ]  # fmt: skip
    assert readings(["12"], "en") == [[("twelve",)]]


@pytest.mark.parametrize(("language", "grouped"), [("en", "1,615"), ("de", "1.615"), ("fr", "1\u202f615")])
def test_a_number_whose_thousands_are_grouped_is_a_count_and_no_year(language: str, grouped: str) -> None:
    year, count = numbers.year(1615, language), numbers.cardinal(1615, language)
    assert year
    assert count
    assert " ".join(readings([grouped], language)[0][0]) == count
    assert " ".join(readings(["1615"], language)[0][0]) == year
    assert tuple(year.split()) in readings([grouped], language)[0]


@pytest.mark.parametrize("case", CASES)
def test_english_is_written_one_way_and_said_another(case: str) -> None:
    text, expected = CASES[case]
    assert said(text) == expected


OTHERS = {
    "de": ("Am 14. Juni 1969: 2,50€ um 19:30 Uhr, z.B. 1.000 Stück, 25% am 3.",
        ("Am|vierzehnte|Juni|neunzehnhundertneunundsechzig|zwei Euro fünfzig Cent|um|neunzehn Uhr dreißig||"
        "zum Beispiel|eintausend|Stück|fünfundzwanzig Prozent|am|drei")),
    "fr": ("à 14h30, 2,5 millions, 25 € et -3", ("à|quatorze heures trente|deux virgule cinq|millions|vingt cinq|euros|"
        "et|moins trois")),
    "es": ("25% y $3.50, 1.250,75", ("veinticinco por ciento|y|tres dólares con cincuenta centavos|"
        "mil doscientos cincuenta coma siete cinco")),
    "it": ("1.000 euro", "mille|euro"),
    "pt": ("25 livros", "vinte e cinco|livros"),
    "sv": ("år 1969", "år|nittonhundrasextionio"),
    "pl": ("350 osób", "trzysta pięćdziesiąt|osób"),
    "ru": ("350 карт", "триста пятьдесят|карт"),
    "ja": ("350人", "三百五十 人"),
    "zh": ("2024 年", "二 零 二 四|年"),
    "ko": ("350 명", "삼백오십|명"),
    "hi": ("350 किताबें", "तीन सौ पचास|किताबें"),
    "ar": ("\u0663 كتب", "ثلاثة|كتب"),
}  # fmt: skip


@pytest.mark.parametrize("language", OTHERS)
def test_other_languages_say_their_own_numbers_and_signs(language: str) -> None:
    text, expected = OTHERS[language]
    assert said(text, language) == expected.split("|")


def test_a_language_without_rules_keeps_its_digits() -> None:
    assert not numbers.is_spelled("ha")
    assert said("350 mutane 5%", "ha") == ["350", "mutane", "5 %"]


written = st.text(
    st.sampled_from("0123456789") | st.sampled_from(".,:;-/%$€£'’°&+#@()") | st.characters(exclude_categories=["Cs"]),  # noqa: RUF001 - marks as they are written
    min_size=1,
    max_size=12,
).filter(lambda word: bool(word.strip()))


@given(words=st.lists(written, max_size=5), language=st.sampled_from(sorted(LANGUAGES)))
def test_whatever_is_written_every_word_is_answered_and_no_word_said_is_empty(words: list[str], language: str) -> None:
    spoken = spoken_words(words, language)
    assert len(spoken) == len(words)
    assert all(word and not word.isspace() and word.split() == [word] for said in spoken for word in said)


@given(st.integers(0, 10**15 - 1), st.sampled_from(["en", "de", "fr", "es", "it", "pt", "nl", "sv", "pl", "ru", "hu"]))
def test_no_digit_is_left_where_numbers_are_spelled(number: int, language: str) -> None:
    [spoken] = spoken_words([str(number)], language)
    assert spoken
    assert not any(character.isdigit() for word in spoken for character in word)

"""Written words as they are spoken, for alignment alone: `$25` -> twenty five dollars. What is displayed stays.

Each written word gives the spoken words it stands for, so that its time is theirs, from the first to the last. What a
language has no rule for is left as it stands, for `align.spelling` to put a wildcard there.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby
from typing import TYPE_CHECKING

from autorag_whisper.align import numbers
from autorag_whisper.align.spoken_names import DECIMAL_POINT, MONTHS, NAMES, SpokenNames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NOTHING = SpokenNames("", "", {})
_NUMBER = r"\d[\d.,\u00a0\u202f']*"
_GROUPING = ".,'\u00a0\u202f"
_CLOCK = re.compile(r"(\d{1,2})[:h.](\d{2})(?::(\d{2}))?(\D*)")
_DATE = re.compile(r"(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})")
_APOSTROPHES = frozenset("'\u2019")
_LETTERS_ALOUD = re.compile(r"(?:[A-Z]\.?){2,5}")
"""An acronym: said letter by letter, or as a word, which for an aligner is the same letters in the same order."""


def spoken_words(words: Sequence[str], language: str) -> list[tuple[str, ...]]:
    """For each written word what is said for it, one or more words; `()` for what is not said, or said before."""
    names = NAMES.get(language, _NOTHING)
    texts = [_bare(_half_width(word), names) for word in words]
    spoken: list[tuple[str, ...]] = []
    unit = ""
    for n, text in enumerate(texts):
        before, after = texts[n - 1] if n else "", texts[n + 1] if n + 1 < len(texts) else ""
        if names.clock and text == names.clock and _CLOCK.fullmatch(before):
            spoken.append(())  # "19:30 Uhr" is said "19 Uhr 30"
            continue
        said = _spoken(text, before, language, is_last=not after)
        if after.rstrip(".").lower() in names.scales and (money := _money(text, names)):
            said, unit = tuple(_number(money[1], language).split()), names.currencies[money[0]][0]
        elif unit:  # "$3 million" is said "three million dollars"
            said, unit = (*said, *unit.split()), ""
        spoken.append(said)
    return spoken


def readings(words: Sequence[str], language: str) -> list[list[tuple[str, ...]]]:
    """For each written word the ways in which it may be said, the usual one first; none for what is not said.

    A number of three digits and more may be said in several: $1250 is twelve fifty dollars, one thousand two hundred
    fifty dollars, or one two five zero dollars.
    """
    usual = spoken_words(words, language)
    return [
        list(dict.fromkeys([said, *_otherwise(said, word, language)])) if said else []
        for word, said in zip(words, usual, strict=True)
    ]


def _otherwise(said: tuple[str, ...], word: str, language: str) -> Iterator[tuple[str, ...]]:
    """`said` with each number in `word` said in another way."""
    for number in re.findall(_NUMBER, _half_width(word)):
        ways = [tuple(way.split()) for way in _ways(_split(number, language)[0], language) if way]
        here = [(n, way) for way in ways for n in range(len(said)) if said[n : n + len(way)] == way]
        for place, usual in here[:1]:
            yield from ((*said[:place], *way, *said[place + len(usual) :]) for way in ways)


def _ways(digits: str, language: str) -> Iterator[str | None]:
    """As one number, digit by digit, and the last two digits apart from what is before them."""
    if 3 <= len(digits) <= 9:
        yield numbers.cardinal(int(digits), language)
        yield _plain(digits, language)
        yield numbers.by_digit(digits, language)
    if 3 <= len(digits) <= 4:
        yield _joined(numbers.cardinal(int(digits[:-2]), language), numbers.cardinal(int(digits[-2:]), language))


def _spoken(text: str, before: str, language: str, *, is_last: bool) -> tuple[str, ...]:
    names = NAMES.get(language, _NOTHING)
    short = names.short.get(text.replace(".", "").lower())
    if short and (text.endswith(".") or not text.isupper()):
        return tuple(short.split())
    if not any(character.isdecimal() for character in text):
        return _without_digits(text, names)
    said = (
        _currency(text, names, language)
        or _percent(text, names, language)
        or _clock(text, names, language)
        or _date(text, language)
        or _ordinal(text, before, names, language, is_last=is_last)
        or _pieces(text, names, language)
    )
    return tuple(said.split())


def _half_width(text: str) -> str:
    """Full-width forms of Latin letters and digits as their usual ones."""
    return "".join(unicodedata.normalize("NFKC", c) if "\uff01" <= c <= "\uffef" else c for c in text)


def _bare(text: str, names: SpokenNames) -> str:
    """Without the marks around it; a sign that is said stays, and so does a full stop that may be part of it."""
    said = {*names.signs, *names.currencies, *"%‰-\u2212"}
    start, stop = 0, len(text)
    while start < stop and _is_mark(text[start]) and text[start] not in said:
        start += 1
    while stop > start and _is_mark(text[stop - 1]) and text[stop - 1] not in said | {"."}:
        stop -= 1
    return text[start:stop]


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "PZC"


def _without_digits(text: str, names: SpokenNames) -> tuple[str, ...]:
    if _LETTERS_ALOUD.fullmatch(text):
        return tuple(text.replace(".", ""))
    return tuple(word for run in _runs(text) for word in _sign(run, names).split())


def _sign(run: str, names: SpokenNames) -> str:
    """A run of letters as it is; a sign by its name, or as it is where it is no mere mark."""
    if run in names.currencies:
        return names.currencies[run][0]
    if run in names.signs:
        return names.signs[run]
    return run if run[0].isalnum() or not all(map(_is_mark, run)) or run in "%&@#§‰" else ""


def _runs(text: str) -> list[str]:
    """Numbers with their separators, letters with their accents and apostrophes, and each other sign on its own."""
    runs: list[str] = []
    for part in re.split(f"({_NUMBER})", text):
        if part[:1].isdecimal():
            runs.append(part)
            continue
        for is_word, group in groupby(part, _is_of_a_word):
            found = "".join(group)
            runs += [found.strip("'\u2019")] if is_word else list(found)
    return [run for run in runs if run.strip()]


def _is_of_a_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM" or character in _APOSTROPHES


def _money(text: str, names: SpokenNames) -> tuple[str, str, str] | None:
    """(sign, amount, what follows) of `$25`, `25€`, `$2.50`, `$3M`."""
    signs = "".join(map(re.escape, names.currencies))
    if not signs:
        return None
    if found := re.match(rf"([{signs}])\s*({_NUMBER})(\D*)", text):
        return found[1], found[2], found[3]
    found = re.match(rf"({_NUMBER})\s*([{signs}])", text)
    return (found[2], found[1], "") if found else None


def _currency(text: str, names: SpokenNames, language: str) -> str | None:
    money = _money(text, names)
    if money is None:
        return None
    sign, amount, behind = money
    unit, hundredth = names.currencies[sign]
    whole, fraction = _split(amount, language)
    if scale := {"k": 3, "m": 6, "bn": 9, "b": 9}.get(behind.strip(" .,").lower()):
        scaled = numbers.cardinal(10**scale, language)
        return _joined(_number(amount, language), scaled and scaled.split()[-1], unit)
    if fraction and (len(fraction) != 2 or not hundredth):
        return _joined(_number(amount, language), unit)
    said = numbers.cardinal(int(whole), language) or whole
    if not fraction or not int(fraction):
        return _joined(said, unit)
    return _joined(said, unit, names.and_hundredths, _number(str(int(fraction)), language), hundredth)


def _percent(text: str, names: SpokenNames, language: str) -> str | None:
    found = re.match(rf"([-\u2212])?({_NUMBER})\s*%", text)
    if not found:
        return None
    return _joined(names.minus if found[1] else "", _number(found[2], language), names.percent or "%")


def _clock(text: str, names: SpokenNames, language: str) -> str | None:
    """`7:30`, `07:05`, `10:30pm`; a full stop is taken for a clock's only with what cannot be a number."""
    found = _CLOCK.fullmatch(text.rstrip("."))
    if not found or (found[0][len(found[1])] == "." and not re.search("[ap]m", found[4].lower())):
        return None
    hour, minute = int(found[1]), int(found[2])
    if hour > 24 or minute > 59:
        return None
    half = " ".join(found[4].replace(".", "").strip().lower()) if language == "en" else ""
    said = [numbers.cardinal(hour, language), names.clock]
    if minute:
        zero = "oh" if language == "en" and minute < 10 else ""
        said += [zero, numbers.cardinal(minute, language)]
    return _joined(*said, half)


def _date(text: str, language: str) -> str | None:
    """`2024-05-06`, `6/5/2024`, `06.05.24`: its numbers, one after the other."""
    found = _DATE.fullmatch(text.rstrip("."))
    if not found or (found[2] == "." and max(len(found[1]), len(found[4])) < 4 and len(found[4]) != 2):
        return None
    return _joined(*(_plain(str(int(part)), language) for part in (found[1], found[3], found[4])))


def _ordinal(text: str, before: str, names: SpokenNames, language: str, *, is_last: bool) -> str | None:
    """`14th`, `14º`, German `14.` inside a sentence, and the day of `June 14`."""
    found = re.fullmatch(rf"(\d{{1,4}})({names.ordinal})", text.rstrip(".") if "." not in names.ordinal else text)
    if found and not (found[2] == "." and is_last):
        return numbers.ordinal(int(found[1]), language)
    day = re.fullmatch(r"\d{1,2}", text.rstrip("."))
    if day and before.strip(".,").lower() in MONTHS.get(language, ()):
        return numbers.ordinal(int(day[0]), language)
    return None


def _pieces(text: str, names: SpokenNames, language: str) -> str:
    """Letters, numbers and signs one after the other: `COVID-19`, `mp3`, `555-0199`, `4x4`, `-5`."""
    said: list[str] = [names.minus] if re.match(r"[-\u2212]\d", text) else []
    before = ""
    for run in _runs(text):
        if run[0].isdecimal():
            said.append(_number(run, language))
        elif before[:1].isdecimal() and run.lower() in names.short:
            said.append(names.short[run.lower()])  # "64GB": a unit, whatever its case
        elif _LETTERS_ALOUD.fullmatch(run):
            said += list(run)
        else:
            said.append(names.short.get(run.lower()) or _sign(run, names))
        before = run
    return _joined(*said)


def _number(text: str, language: str) -> str:
    """A number with its separators; the digits themselves where it cannot be said."""
    whole, fraction = _split(text, language)
    if not fraction:
        is_count = text.strip(_GROUPING) != whole and whole[0] != "0"  # "1,615" is no year
        return (numbers.cardinal(int(whole), language) if is_count else None) or _plain(whole, language)
    point = NAMES[language].point if language in NAMES else ""
    return _joined(numbers.cardinal(int(whole), language) or whole, point, _digits(fraction, language))


def _plain(digits: str, language: str) -> str:
    """Digits alone: a year, a number, or, with a zero in front or too many of them, digit by digit."""
    if (len(digits) > 1 and digits[0] == "0") or len(digits) > 9:
        return _digits(digits, language)
    if len(digits) == 4 and 1100 <= int(digits) <= 2099:
        return numbers.year(int(digits), language) or digits
    return numbers.cardinal(int(digits), language) or digits


def _digits(digits: str, language: str) -> str:
    return numbers.by_digit(digits, language) or digits


def _split(number: str, language: str) -> tuple[str, str]:
    """(digits before, digits behind the decimal mark); marks that group thousands are dropped."""
    number = number.strip(_GROUPING)
    mark = "." if language in DECIMAL_POINT else ","
    if re.fullmatch(r"\d{1,3}(?:[.,'\u00a0\u202f]\d{3})+", number) and number.count(mark) != 1:
        return re.sub(r"\D", "", number), ""
    whole, found, fraction = number.rpartition(mark)
    if not found:
        # The other mark, where no thousands are grouped by it: 2.5 in a language that writes 2,5.
        whole, found, fraction = number.rpartition("." if mark == "," else ",")
    if not found:
        return re.sub(r"\D", "", number), ""
    return re.sub(r"\D", "", whole) or "0", re.sub(r"\D", "", fraction)


def _joined(*words: str | None) -> str:
    return " ".join(word for word in words if word)

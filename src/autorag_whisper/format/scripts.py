"""Which language a text may be in, by its letters, for JSON that does not say."""

from __future__ import annotations

import unicodedata
from collections import Counter

_LANGUAGES = {
    "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "THAI": "th", "LAO": "lo", "KHMER": "km", "MYANMAR": "my",
    "ARABIC": "ar", "HEBREW": "he", "CJK": "zh", "CYRILLIC": "ru", "GREEK": "el", "DEVANAGARI": "hi", "BENGALI": "bn",
    "TAMIL": "ta", "TELUGU": "te", "GEORGIAN": "ka", "ARMENIAN": "hy",
}  # fmt: skip
"""The first word of a character's Unicode name -> the language that is most often written so."""

_SAMPLE = 2000
_KANA_SHARE = 0.05


def language_by_script(text: str) -> str | None:
    """A Whisper code for the script that most letters are of; None for Latin ones. Some kana make Han Japanese."""
    letters = [unicodedata.name(letter, "").partition(" ")[0] for letter in text[:_SAMPLE] if letter.isalpha()]
    count = Counter(_LANGUAGES.get(script, "") for script in letters)
    if not count:
        return None
    code = count.most_common(1)[0][0]
    if code == "zh" and count["ja"] >= _KANA_SHARE * len(letters):
        return "ja"
    return code or None

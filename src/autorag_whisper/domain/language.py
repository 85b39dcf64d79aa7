"""The languages that Whisper knows: code -> English name, and every spelling a caller may use."""

from __future__ import annotations

from autorag_whisper.domain.errors import InvalidOption

LANGUAGES: dict[str, str] = {
    "af": "afrikaans", "am": "amharic", "ar": "arabic", "as": "assamese", "az": "azerbaijani", "ba": "bashkir",
    "be": "belarusian", "bg": "bulgarian", "bn": "bengali", "bo": "tibetan", "br": "breton", "bs": "bosnian",
    "ca": "catalan", "cs": "czech", "cy": "welsh", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fo": "faroese",
    "fr": "french", "gl": "galician", "gu": "gujarati", "ha": "hausa", "haw": "hawaiian", "he": "hebrew",
    "hi": "hindi", "hr": "croatian", "ht": "haitian creole", "hu": "hungarian", "hy": "armenian", "id": "indonesian",
    "is": "icelandic", "it": "italian", "ja": "japanese", "jw": "javanese", "ka": "georgian", "kk": "kazakh",
    "km": "khmer", "kn": "kannada", "ko": "korean", "la": "latin", "lb": "luxembourgish", "ln": "lingala", "lo": "lao",
    "lt": "lithuanian", "lv": "latvian", "mg": "malagasy", "mi": "maori", "mk": "macedonian", "ml": "malayalam",
    "mn": "mongolian", "mr": "marathi", "ms": "malay", "mt": "maltese", "my": "myanmar", "ne": "nepali", "nl": "dutch",
    "nn": "nynorsk", "no": "norwegian", "oc": "occitan", "pa": "punjabi", "pl": "polish", "ps": "pashto",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sa": "sanskrit", "sd": "sindhi", "si": "sinhala",
    "sk": "slovak", "sl": "slovenian", "sn": "shona", "so": "somali", "sq": "albanian", "sr": "serbian",
    "su": "sundanese", "sv": "swedish", "sw": "swahili", "ta": "tamil", "te": "telugu", "tg": "tajik", "th": "thai",
    "tk": "turkmen", "tl": "tagalog", "tr": "turkish", "tt": "tatar", "uk": "ukrainian", "ur": "urdu", "uz": "uzbek",
    "vi": "vietnamese", "yi": "yiddish", "yo": "yoruba", "yue": "cantonese", "zh": "chinese",
}  # fmt: skip

ALIASES: dict[str, str] = {
    "burmese": "my", "castilian": "es", "flemish": "nl", "haitian": "ht", "letzeburgesch": "lb", "mandarin": "zh",
    "moldavian": "ro", "moldovan": "ro", "panjabi": "pa", "pushto": "ps", "sinhalese": "si", "valencian": "ca",
    "jv": "jw", "nb": "no", "fil": "tl", "iw": "he", "in": "id", "cmn": "zh",
}  # fmt: skip
"""Other names and codes in use, as OpenAI's own table has them, and ISO codes that Whisper spells differently."""

_ISO_639_2 = """
afr:af amh:am ara:ar asm:as aze:az bak:ba bel:be bul:bg ben:bn bod:bo tib:bo bre:br bos:bs cat:ca ces:cs cze:cs cym:cy
wel:cy dan:da deu:de ger:de ell:el gre:el eng:en spa:es est:et eus:eu baq:eu fas:fa per:fa fin:fi fao:fo fra:fr fre:fr
glg:gl guj:gu hau:ha heb:he hin:hi hrv:hr scr:hr hat:ht hun:hu hye:hy arm:hy ind:id isl:is ice:is ita:it jpn:ja jav:jw
kat:ka geo:ka kaz:kk khm:km kan:kn kor:ko lat:la ltz:lb lin:ln lao:lo lit:lt lav:lv mlg:mg mri:mi mao:mi mkd:mk mac:mk
mal:ml mon:mn mar:mr msa:ms may:ms mlt:mt mya:my bur:my nep:ne nld:nl dut:nl nno:nn nor:no nob:no oci:oc pan:pa pol:pl
pus:ps por:pt ron:ro rum:ro rus:ru san:sa snd:sd sin:si slk:sk slo:sk slv:sl sna:sn som:so sqi:sq alb:sq srp:sr scc:sr
sun:su swe:sv swa:sw tam:ta tel:te tgk:tg tha:th tuk:tk tgl:tl tur:tr tat:tt ukr:uk urd:ur uzb:uz vie:vi yid:yi yor:yo
zho:zh chi:zh
"""
ISO_639_2: dict[str, str] = dict(pair.split(":") for pair in _ISO_639_2.split())
"""The codes of three letters, both the bibliographic and the terminological, as media files carry them."""

WITHOUT_SPACES = frozenset({"zh", "ja", "yue", "th", "lo", "my", "km"})
"""Languages written without blanks between words."""

_BY_NAME = {name: code for code, name in LANGUAGES.items()} | ALIASES | ISO_639_2


def parse_language(text: str | None) -> str | None:
    """A Whisper language code for `"en"`, `"EN"`, `"en-US"`, `"eng"`, `"English"`; None (detect it) for None, `""`
    and `"auto"`.

    Raises:
        InvalidOption: no language that Whisper knows is called so.
    """
    name = (text or "").strip().lower().replace("_", "-")
    if name in ("", "auto"):
        return None
    for candidate in (name, name.split("-")[0]):
        if candidate in LANGUAGES:
            return candidate
        if candidate in _BY_NAME:
            return _BY_NAME[candidate]
    raise InvalidOption("language", text, "a code such as en or de, or an English name such as German")

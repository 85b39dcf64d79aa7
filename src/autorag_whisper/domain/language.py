"""The languages that Whisper knows: code -> English name, and every spelling a caller may use."""

from __future__ import annotations

from dataclasses import dataclass

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

_FAMILIES = (
    "no nn da sv", "cs sk", "hr sr bs sl", "bg mk", "ru uk be", "pt gl es ca oc", "it la", "hi ur", "ms id jw su",
    "nl af", "de lb yi", "tr az tk", "tt ba kk uz", "fa tg", "zh yue", "bn as",
)  # fmt: skip
_FAMILY = {code: family.split()[0] for family in _FAMILIES for code in family.split()}

WELL_KNOWN = frozenset({
    "en", "zh", "de", "es", "ru", "fr", "pt", "ko", "ja", "tr", "pl", "it", "sv", "nl", "ca", "fi", "id", "ar", "uk",
    "vi", "he", "el", "da", "ms", "hu", "ro", "no", "th", "cs", "ta", "ur", "hr", "sk", "bg", "hi",
})  # fmt: skip
"""Languages that Whisper has heard enough of to know them (the most of its training data, Radford et al. 2022,
appendix E; and Hindi). Noise, song and accents are taken for others rather than for these."""


def family(code: str) -> str:
    """The code of the first of the languages that Whisper confuses with `code`; `code` itself if there are none."""
    return _FAMILY.get(code, code)


_BY_NAME = {name: code for code, name in LANGUAGES.items()} | ALIASES | ISO_639_2


CHINESE = frozenset({"zh", "yue"})
"""Languages of which the script can be chosen: `Hans` and `Hant` are converted into each other."""

SCRIPTS = ("Hans", "Hant", "Hant-TW", "Hant-HK")
"""Chinese characters: simplified, traditional, and traditional as written in Taiwan and in Hong Kong."""

_SCRIPT_OF_REGION = {
    "cn": "Hans", "sg": "Hans", "my": "Hans", "tw": "Hant-TW", "hk": "Hant-HK", "mo": "Hant-HK",
}  # fmt: skip

_ALLOWED = "a code such as en or de, or an English name such as German"

_ONE_SCRIPT = {
    "latn": "af ca cs cy da de en es et eu fi fo fr gl hr ht hu id is it la lb ln lt lv mg ms mt nl nn no pl pt ro sk "
            "sl so sq sv sw tl tr vi",
    "cyrl": "be bg kk mk ru uk", "arab": "ar fa ps ur", "hebr": "he yi", "deva": "hi mr ne", "beng": "as bn",
    "ethi": "am", "grek": "el", "gujr": "gu", "armn": "hy", "jpan": "ja", "geor": "ka", "khmr": "km", "knda": "kn",
    "kore": "ko", "laoo": "lo", "mlym": "ml", "mymr": "my", "guru": "pa", "sinh": "si", "taml": "ta", "telu": "te",
    "thai": "th",
}  # fmt: skip
"""Script -> the languages that are written in it and hardly in another (Suppress-Script of IANA's registry)."""


@dataclass(frozen=True, slots=True)
class Spelled:
    """A language as a caller has asked for it: Whisper's code, and one of `SCRIPTS` for its text, or ""."""

    code: str
    script: str = ""


def parse_language(text: str | None) -> str | None:
    """A Whisper language code for `"en"`, `"EN"`, `"en-US"`, `"eng"`, `"English"`; None (detect it) for None, `""`
    and `"auto"`.

    Raises:
        InvalidOption: no language that Whisper knows is called so, or not in the script that is named.
    """
    spelled = parse_spelled(text)
    return spelled.code if spelled is not None else None


def parse_spelled(text: str | None) -> Spelled | None:
    """The same, with the script that a tag such as `zh-Hans` or `zh-TW` asks for.

    Regions and variants of other languages change nothing. Raises as `parse_language`.
    """
    if text is not None and not isinstance(text, str):
        raise InvalidOption("language", text, _ALLOWED)
    name = (text or "").strip().lower().replace("_", "-")
    if name in ("", "auto"):
        return None
    first, *subtags = name.partition(".")[0].split("-")  # without the encoding of a locale, zh_CN.UTF-8
    if first == "zh" and subtags[:1] in (["yue"], ["cmn"]):  # an extended language subtag of BCP 47
        first = subtags.pop(0)
    for candidate in (name, first):
        code = candidate if candidate in LANGUAGES else _BY_NAME.get(candidate)
        if code is not None:
            return Spelled(code, _script(text, code, subtags if candidate == first else []))
    raise InvalidOption("language", text, _ALLOWED)


def _script(text: str | None, code: str, subtags: list[str]) -> str:
    """What the subtags of a BCP 47 tag say of the script."""
    if "x" in subtags:  # for private use
        subtags = subtags[: subtags.index("x")]
    script = next((subtag for subtag in subtags if len(subtag) == 4 and subtag.isalpha()), "")
    region = next((subtag for subtag in subtags if len(subtag) == 2), "")
    if code in CHINESE and script in ("", "hans", "hant"):
        of_region = _SCRIPT_OF_REGION.get(region, "")
        return of_region if not script or of_region[:4].lower() == script else script.title()
    if script and code not in _ONE_SCRIPT.get(script, "").split():
        allowed = f"{code} alone: its script is the model's choice; Hans and Hant can be chosen for zh and yue"
        raise InvalidOption("language", text, allowed)
    return ""

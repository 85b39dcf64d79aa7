"""What is written as a sign or cut short, and how it is said: tables by language, read by `align.text_normalization`.

A language that is missing here has its numbers spelled all the same; its signs are left to the wildcard.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DECIMAL_POINT = frozenset(
    {
        "en", "zh", "yue", "ja", "ko", "th", "he", "hi", "bn", "ta", "te", "ur", "pa", "gu", "kn", "ml", "mr", "ne",
        "si", "ms", "tl", "sw", "my", "mt", "cy",
    }
)  # fmt: skip
"""Languages that write 2.5 and 1,000; all others write 2,5 and 1.000."""


@dataclass(frozen=True, slots=True)
class SpokenNames:
    """How one language says signs.

    `point` and `percent`; `currencies`: sign -> (unit, its hundredth); `ordinal`: what stands behind the digits of an
    ordinal, a regular expression; `and_hundredths` joins a price's two halves; `clock` stands between hours and
    minutes; `scales` are number words behind which a unit is said; `signs`: other signs; `short`: abbreviations, lower
    case, their full stops left out.
    """

    point: str
    percent: str
    currencies: dict[str, tuple[str, str]]
    minus: str = "minus"
    ordinal: str = "º|ª|°"
    and_hundredths: str = ""
    clock: str = ""
    scales: frozenset[str] = frozenset()
    signs: dict[str, str] = field(default_factory=dict)
    short: dict[str, str] = field(default_factory=dict)


NAMES: dict[str, SpokenNames] = {
    "en": SpokenNames(
        point="point",
        percent="percent",
        currencies={
            "$": ("dollars", "cents"), "€": ("euros", "cents"), "£": ("pounds", "pence"), "¥": ("yen", ""),
            "₹": ("rupees", "paise"), "¢": ("cents", ""), "₩": ("won", ""),
        },
        ordinal="st|nd|rd|th",
        and_hundredths="and",
        scales=frozenset(["thousand", "million", "billion", "trillion"]),
        signs={"&": "and", "+": "plus", "=": "equals", "@": "at", "#": "number", "°": "degrees", "×": "times"},
        short={
            "mr": "mister", "mrs": "missus", "ms": "miss", "dr": "doctor", "prof": "professor", "st": "saint",
            "vs": "versus", "etc": "et cetera", "eg": "for example", "ie": "that is", "jr": "junior", "sr": "senior",
            "km": "kilometers", "cm": "centimeters", "mm": "millimeters", "kg": "kilograms", "mph": "miles per hour",
            "hz": "hertz", "khz": "kilohertz", "mhz": "megahertz", "ghz": "gigahertz", "kb": "kilobytes",
            "mb": "megabytes", "gb": "gigabytes", "tb": "terabytes",
        },
    ),
    "de": SpokenNames(
        point="Komma",
        percent="Prozent",
        currencies={"$": ("Dollar", "Cent"), "€": ("Euro", "Cent"), "£": ("Pfund", "Pence"), "¥": ("Yen", "")},
        ordinal=r"\.",
        clock="Uhr",
        scales=frozenset(["tausend", "million", "millionen", "milliarde", "milliarden"]),
        signs={"&": "und", "+": "plus", "=": "gleich", "@": "at", "°": "Grad", "§": "Paragraf"},
        short={
            "zb": "zum Beispiel", "usw": "und so weiter", "dr": "Doktor", "prof": "Professor", "bzw": "beziehungsweise",
            "ca": "circa", "nr": "Nummer", "str": "Straße", "km": "Kilometer", "kg": "Kilogramm", "cm": "Zentimeter",
            "dh": "das heißt", "ua": "unter anderem",
        },
    ),
    "fr": SpokenNames(
        point="virgule",
        percent="pour cent",
        currencies={"$": ("dollars", "cents"), "€": ("euros", ""), "£": ("livres", "pence"), "¥": ("yens", "")},
        ordinal="er|ère|re|e|ème|eme|º|°",
        clock="heures",
        minus="moins",
        scales=frozenset(["million", "millions", "milliard", "milliards"]),
        signs={"&": "et", "+": "plus", "=": "égale", "@": "arobase", "°": "degrés"},
        short={"mme": "madame", "mlle": "mademoiselle", "dr": "docteur", "etc": "et cetera", "km": "kilomètres"},
    ),
    "es": SpokenNames(
        point="coma",
        percent="por ciento",
        currencies={"$": ("dólares", "centavos"), "€": ("euros", "céntimos"), "£": ("libras", "peniques")},
        and_hundredths="con",
        clock="y",
        minus="menos",
        scales=frozenset(["mil", "millón", "millones"]),
        signs={"&": "y", "+": "más", "=": "igual a", "@": "arroba", "°": "grados"},
        short={"sr": "señor", "sra": "señora", "dr": "doctor", "dra": "doctora", "etc": "etcétera", "km": "kilómetros"},
    ),
    "it": SpokenNames(
        point="virgola",
        percent="per cento",
        currencies={"$": ("dollari", "centesimi"), "€": ("euro", "centesimi"), "£": ("sterline", "penny")},
        and_hundredths="e",
        clock="e",
        minus="meno",
        scales=frozenset(["mila", "milione", "milioni", "miliardo", "miliardi"]),
        signs={"&": "e", "+": "più", "=": "uguale", "@": "chiocciola", "°": "gradi"},
        short={"sig": "signor", "dott": "dottor", "ecc": "eccetera", "km": "chilometri"},
    ),
    "pt": SpokenNames(
        point="vírgula",
        percent="por cento",
        currencies={"$": ("dólares", "centavos"), "€": ("euros", "cêntimos"), "£": ("libras", "pence")},
        and_hundredths="e",
        clock="e",
        minus="menos",
        scales=frozenset(["mil", "milhão", "milhões", "bilhão", "bilhões"]),
        signs={"&": "e", "+": "mais", "=": "igual a", "@": "arroba", "°": "graus"},
        short={"sr": "senhor", "sra": "senhora", "dr": "doutor", "dra": "doutora", "etc": "et cetera"},
    ),
    "nl": SpokenNames(
        point="komma",
        percent="procent",
        currencies={"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pond", "pence")},
        ordinal="e|ste|de",
        clock="uur",
        minus="min",
        scales=frozenset(["duizend", "miljoen", "miljard"]),
        signs={"&": "en", "+": "plus", "=": "is", "@": "apenstaartje", "°": "graden"},
        short={"dhr": "de heer", "mevr": "mevrouw", "enz": "enzovoort", "bv": "bijvoorbeeld", "km": "kilometer"},
    ),
    "sv": SpokenNames(
        point="komma",
        percent="procent",
        currencies={"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pund", "pence")},
        ordinal=":e|:a",
        scales=frozenset(["miljon", "miljoner", "miljard", "miljarder"]),
        signs={"&": "och", "+": "plus", "=": "lika med", "°": "grader"},
        short={"tex": "till exempel", "osv": "och så vidare", "km": "kilometer", "kr": "kronor"},
    ),
    "pl": SpokenNames(
        point="przecinek",
        percent="procent",
        currencies={"$": ("dolarów", "centów"), "€": ("euro", "centów"), "£": ("funtów", "pensów")},
        ordinal=r"\.",
        scales=frozenset(["tysięcy", "milion", "milionów", "miliardów"]),
        signs={"&": "i", "+": "plus", "=": "równa się", "°": "stopni"},
        short={"np": "na przykład", "itd": "i tak dalej", "dr": "doktor", "zł": "złotych", "km": "kilometrów"},
    ),
    "ru": SpokenNames(
        point="запятая",
        percent="процентов",
        currencies={"$": ("долларов", "центов"), "€": ("евро", "центов"), "₽": ("рублей", "копеек")},
        ordinal="-?(?:й|я|е|го|му|м|ый|ая|ое)",
        minus="минус",
        scales=frozenset(["тысяч", "миллион", "миллионов", "миллиард", "миллиардов"]),
        signs={"&": "и", "+": "плюс", "=": "равно", "°": "градусов", "№": "номер"},
        short={"км": "километров", "кг": "килограммов", "г": "год"},
    ),
}  # fmt: skip

MONTHS: dict[str, frozenset[str]] = {
    "en": frozenset({
        "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
        "december", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    })
}  # fmt: skip
"""Names behind which a day's number is said as an ordinal: "June 14" is "June fourteenth"."""

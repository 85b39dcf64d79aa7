"""What a caller can ask for: one frozen options object, validated when it is made."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

from autorag_whisper.domain.accepts import Accepts  # noqa: TC001 - typing.get_type_hints looks for it here
from autorag_whisper.domain.clips import Clip, ClipLike, parse_clips
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.language import SCRIPTS, parse_spelled
from autorag_whisper.domain.unicode import exact, is_text

if TYPE_CHECKING:
    from autorag_whisper.domain.language import Spelled


class Task(StrEnum):
    """What becomes of the speech: its own words, or English ones."""

    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"


class Quality(StrEnum):
    """How much work a chunk is worth; `Effort` says what each means, the documentation what each costs and gives."""

    FAST = "fast"
    BALANCED = "balanced"
    BEST = "best"


TaskName = Literal["transcribe", "translate"]
QualityName = Literal["fast", "balanced", "best"]


@dataclass(frozen=True, slots=True)
class Effort:
    """What a first attempt is worth: the beam, and whether the window is 30 s however short the chunk.

    Whisper is less sure in other languages than English: more of what it says there is found by a wider beam.
    """

    beam_size: int
    non_english_beam_size: int
    full_window: bool = False


EFFORTS = {
    Quality.FAST: Effort(beam_size=1, non_english_beam_size=1),
    Quality.BALANCED: Effort(beam_size=5, non_english_beam_size=10),
    Quality.BEST: Effort(beam_size=5, non_english_beam_size=10, full_window=True),
}
"""Chosen by measurement (dev/LOG.md). A chunk that fails is redone with more of everything, whatever the quality."""


class Aligner(StrEnum):
    """How words get their times. Whatever is asked for, the next one down serves where it fails."""

    AUTO = "auto"
    CTC = "ctc"
    CHARACTERS = "characters"
    TOKENS = "tokens"
    NONE = "none"


AlignerName = Literal["auto", "ctc", "characters", "tokens", "none"]

DEFAULT_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Whisper's temperature fallback (Radford et al. 2022, section 4.5): the next one only after a failed attempt."""

MAX_PROMPT_CHARACTERS = 2_000
MAX_PREFIX_CHARACTERS = 200
DEFAULT_SUPPRESSED = (-1,)
"""What `suppress_tokens` are unless somebody says: the model's own list of symbols that nobody says."""


@dataclass(frozen=True, slots=True)
class Search:
    """How texts are searched for, as the fields of `TranscribeOptions` of the same names say."""

    patience: float = 1.0
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    suppress_tokens: tuple[int, ...] = DEFAULT_SUPPRESSED
    suppress_blank: bool = True

    @property
    def leaves_probabilities(self) -> bool:
        """Whether the scores of tokens are as the model gives them: no penalty changes them."""
        return self.repetition_penalty == 1 and self.no_repeat_ngram_size == 0


@dataclass(frozen=True, slots=True)
class TranscribeOptions:
    """Everything about one transcription except the file and the model.

    Attributes:
        language: a Whisper code, in every spelling of `parse_language`; None detects it, again where it changes.
        script: the characters of Chinese text, one of `domain.language.SCRIPTS`; "" leaves them as the model writes
            them. A language such as `zh-Hans` or `zh-TW`, also an allowed one, sets it.
        allowed_languages: detection chooses among these alone; empty allows all. A single one is as if it were given.
        code_switching: for speakers who mix languages from sentence to sentence: chunks are short, and each is in the
            language that it is sure of, else in the file's.
        task: `transcribe`, or `translate` into English.
        quality: `fast` is greedy, `balanced` searches with a beam, `best` does so in windows of 30 s, as trained.
        beam_size: hypotheses kept at temperature 0; 1 is greedy search; None leaves it to the quality and the language.
        temperatures: the temperature fallback, tried in order while an attempt fails a threshold.
        initial_prompt: text that is put before every chunk as if it had been said before (names, style).
        hotwords: words that are likely to occur, put before every chunk after the prompt.
        batch_size: chunks in one engine call; None leaves it to the device's default.
        audio_stream: which audio stream of the file: its number, counted from 0, its language (`"en"`, `"eng"`,
            `"English"`) or its title; None takes the one that players begin with, else the first.
        compression_ratio_threshold: text that packs better than this is a repetition: the attempt failed.
        logprob_threshold: mean log-probability of the tokens below which an attempt failed.
        no_speech_threshold: probability of "no speech" above which a failed attempt's text is rejected.
        vad: only what voice activity finds is recognised; without it everything is, in pieces of 30 s at most that are
            cut where it is quietest. What voice activity says still counts against text that nobody said.
        vad_threshold: speech probability (between 0 and 1) from which a 32 ms window counts as speech.
        vad_min_speech_s: what is shorter (0..10) is no speech.
        vad_min_silence_s: silence (0..10) that ends a stretch of speech.
        vad_pad_s: audio (0..5) that a piece has before its first speech and behind its last.
        clips: parts of the recording that are heard, `parse_clips` takes what is written here; none: all of it. Those
            that overlap or touch are one. Times stay those of the recording.
        prefix: text with which the first piece begins, as if it had been decoded: it is in the result. At most 200
            characters, of which those count that 100 tokens hold.
        patience: of beam search, factor (0.1..10) of the hypotheses that are finished before one is chosen.
        length_penalty: exponent (-10..10) of the length in the score of a hypothesis of beam search; above 1 prefers
            longer ones.
        repetition_penalty: above 1 (to 10) makes tokens less likely that are in the text already; below 1 more likely.
        no_repeat_ngram_size: no run of so many tokens (0..100) comes twice in a piece; 0 allows it.
        suppress_tokens: token ids that are never chosen; -1 stands for the model's own list, () suppresses none.
        suppress_blank: a text does not begin with its end, or with a blank alone.
        max_new_tokens: tokens (1..440) that a piece may have; what is longer is cut off. None: twice what the fastest
            speech needs.
        aligner: `characters` where the model has a classifier of letters or heads for them (`auto`), a `ctc` model of
            the text's language (not for translations, whose words nobody said), the model's own `tokens`, or `none`:
            spread evenly.
        given_text: what is said in the recording, or in its one clip, of 28 s at most: nothing is recognised, its words
            get their times. It needs the `language`, and no `vad`. "" recognises.
        max_duration_s: more audio than this raises MediaTooLong while decoding; None has no limit.
    """

    language: str | None = None
    # A default is a value already, which a type checker cannot know of a field that accepts several forms.
    allowed_languages: Accepts[tuple[str, ...], str | Iterable[str]] = ()  # type: ignore[assignment]  # its value
    code_switching: bool = False
    task: Accepts[Task, TaskName] = Task.TRANSCRIBE  # type: ignore[assignment]  # its value
    quality: Accepts[Quality, QualityName] = Quality.BALANCED  # type: ignore[assignment]  # its value
    beam_size: int | None = None
    temperatures: Accepts[tuple[float, ...], Sequence[float]] = DEFAULT_TEMPERATURES  # type: ignore[assignment]  # its value
    initial_prompt: str = ""
    hotwords: str = ""
    batch_size: int | None = None
    audio_stream: int | str | None = None
    compression_ratio_threshold: float = 2.4
    logprob_threshold: float = -1.0
    no_speech_threshold: float = 0.6
    vad_threshold: float = 0.5
    aligner: Accepts[Aligner, AlignerName] = Aligner.AUTO  # type: ignore[assignment]  # its value
    max_duration_s: float | None = None
    script: str = ""
    vad: bool = True
    vad_min_speech_s: float = 0.1
    vad_min_silence_s: float = 0.16
    vad_pad_s: float = 0.4
    clips: Accepts[tuple[Clip, ...], str | Iterable[ClipLike]] = ()  # type: ignore[assignment]  # its value
    prefix: str = ""
    patience: float = 1.0
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    suppress_tokens: Accepts[tuple[int, ...], str | Iterable[int]] = DEFAULT_SUPPRESSED  # type: ignore[assignment]  # its value
    suppress_blank: bool = True
    max_new_tokens: int | None = None
    given_text: str = ""

    def __post_init__(self) -> None:
        self._set_languages()
        codes, chosen = self.allowed_languages, self.language
        _check("language", chosen, not codes or chosen is None or chosen in codes, " or ".join(codes))
        clear = not (self.code_switching and chosen)
        _check("code switching", f"on with language {chosen}", clear, "on without a language, or off")
        if len(codes) == 1:
            object.__setattr__(self, "language", codes[0])
        object.__setattr__(self, "task", _parse_task(self.task))
        object.__setattr__(self, "aligner", _parse_aligner(self.aligner))
        object.__setattr__(self, "quality", _parse_quality(self.quality))
        object.__setattr__(self, "clips", parse_clips(self.clips))
        object.__setattr__(self, "suppress_tokens", _parse_tokens(self.suppress_tokens))
        object.__setattr__(self, "temperatures", _parse_temperatures(self.temperatures))
        object.__setattr__(self, "audio_stream", _parse_audio_stream(self.audio_stream))
        voice = self.vad_threshold
        _check("VAD threshold", voice, _is_number(voice) and 0 < voice < 1, "a number between 0 and 1")
        limit = self.max_duration_s
        _check("longest duration", limit, limit is None or (_is_number(limit) and limit > 0), "seconds above 0")
        for field, (option, low, high) in _WHOLE.items():
            object.__setattr__(self, field, _whole(option, getattr(self, field), low, high))
        for field, (option, least, most) in _RANGES.items():
            value = getattr(self, field)
            good = _is_number(value) and least <= value <= most
            _check(option, value, good, f"a number from {least:g} to {most:g}")
            object.__setattr__(self, field, float(value))
        for field in _FLAGS:
            flag = getattr(self, field)
            _check(field.replace("_", " "), flag, _is_flag(flag), "true or false")
            object.__setattr__(self, field, bool(flag))
        for field, (option, limit) in _TEXTS.items():
            text = getattr(self, field)
            _check(option, text, isinstance(text, str), "text")
            _check(option, text[:20], is_text(text), "text without halves of surrogate pairs")
            _check(option, f"{text[:20]}...", len(text) <= limit, f"at most {limit} characters")
            object.__setattr__(self, field, exact(text))

    @property
    def search(self) -> Search:
        """The options of the search for a text, together."""
        return Search(
            self.patience,
            self.length_penalty,
            self.repetition_penalty,
            self.no_repeat_ngram_size,
            self.suppress_tokens,
            self.suppress_blank,
        )

    def _set_languages(self) -> None:
        """Reduce `language` and `allowed_languages` to Whisper's codes, and `script` to what they say of it."""
        _check("script", self.script, isinstance(self.script, str), ", ".join(SCRIPTS))
        chosen, allowed = parse_spelled(self.language), _parse_languages(self.allowed_languages)
        asked = {spelled.script for spelled in (chosen, *allowed) if spelled is not None} | {self.script}
        scripts = sorted(asked - {""})
        _check("script", " and ".join(scripts), len(scripts) <= 1, "one script for all of Chinese")
        script = "".join(scripts)
        _check("script", script, script in ("", *SCRIPTS), ", ".join(SCRIPTS))
        object.__setattr__(self, "language", chosen.code if chosen is not None else None)
        object.__setattr__(self, "allowed_languages", tuple(dict.fromkeys(spelled.code for spelled in allowed)))
        object.__setattr__(self, "script", script)

    @property
    def effort(self) -> Effort:
        """The quality's, with the beam that was asked for."""
        effort, asked = EFFORTS[self.quality], self.beam_size
        return effort if asked is None else replace(effort, beam_size=asked, non_english_beam_size=asked)

    def beam_size_in(self, language: str) -> int:
        """The first attempt's beam where that language is spoken; the text of a translation is English."""
        english = language == "en" or self.task == Task.TRANSLATE
        return self.effort.beam_size if english else self.effort.non_english_beam_size


_WHOLE = {
    "beam_size": ("beam size", 1, 100),
    "batch_size": ("batch size", 1, 256),
    "no_repeat_ngram_size": ("no-repeat n-gram size", 0, 100),
    "max_new_tokens": ("new tokens", 1, 440),
}
"""Field -> its name in messages, least, most; None is allowed where the least is not 0."""
_RANGES = {
    "compression_ratio_threshold": ("compression ratio threshold", 0.0, math.inf),
    "logprob_threshold": ("log-probability threshold", -math.inf, 0.0),
    "no_speech_threshold": ("no-speech threshold", 0.0, 1.0),
    "vad_min_speech_s": ("shortest speech", 0.0, 10.0),
    "vad_min_silence_s": ("shortest silence", 0.0, 10.0),
    "vad_pad_s": ("speech padding", 0.0, 5.0),
    "patience": ("patience", 0.1, 10.0),
    "length_penalty": ("length penalty", -10.0, 10.0),
    "repetition_penalty": ("repetition penalty", 0.1, 10.0),
}
_LONGEST_TITLE = 1000
_FLAGS = ("code_switching", "vad", "suppress_blank")
_TEXTS = {
    "initial_prompt": ("prompt", MAX_PROMPT_CHARACTERS),
    "hotwords": ("hotwords", MAX_PROMPT_CHARACTERS),
    "prefix": ("prefix", MAX_PREFIX_CHARACTERS),
    "given_text": ("given text", MAX_PROMPT_CHARACTERS),
}


def _whole(option: str, value: Any, least: int, most: int) -> int | None:
    """A whole number of any library, as Python's own: the engines take no other."""
    whole = not isinstance(value, bool) and isinstance(value, Integral) and least <= int(value) <= most
    _check(option, value, whole or (value is None and least > 0), f"a whole number from {least} to {most}")
    return None if value is None else int(value)


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and isinstance(value, Real) and not math.isnan(value)
    except OverflowError:  # no float is as large
        return False


def _is_flag(value: Any) -> bool:
    """Of any library; a word such as "no" would count as true."""
    return not isinstance(value, str | bytes) and not hasattr(value, "__len__") and value in (True, False)


def _parse_temperatures(given: Any) -> tuple[float, ...]:
    are_several = isinstance(given, Sequence) and not isinstance(given, str) and len(given) > 0
    _check("temperature", given, are_several, "at least one number from 0 to 2, in a tuple")
    for temperature in given:
        _check("temperature", temperature, _is_number(temperature) and 0 <= temperature <= 2, "numbers from 0 to 2")
    return tuple(float(temperature) for temperature in given)


def _parse_tokens(given: Any) -> tuple[int, ...]:
    allowed = "token ids with commas between them, -1 for the model's own list, or nothing"
    try:
        parts = [part for part in given.split(",") if part.strip()] if isinstance(given, str) else list(given)
        tokens = tuple(dict.fromkeys(int(part) for part in parts))
    except (TypeError, ValueError, OverflowError):
        raise InvalidOption("suppressed tokens", given, allowed) from None
    _check("suppressed tokens", given, all(-1 <= token < 2**31 for token in tokens), allowed)
    return tokens


def _parse_languages(names: Any) -> tuple[Spelled, ...]:
    names = names.split(",") if isinstance(names, str) else names
    _check("allowed languages", names, isinstance(names, Iterable), "codes such as en or de, in a tuple")
    spelled = [(name, parse_spelled(name)) for name in names]
    for name, one in spelled:
        _check("allowed language", name, one is not None, "codes such as en or de, or English names such as German")
    return tuple(one for _, one in spelled if one is not None)


def _parse_task(task: Task | str) -> Task:
    try:
        return Task(task)
    except ValueError:
        raise InvalidOption("task", task, " or ".join(Task)) from None


def _parse_quality(quality: Quality | str) -> Quality:
    try:
        return Quality(quality)
    except ValueError:
        raise InvalidOption("quality", quality, ", ".join(Quality)) from None


def _parse_aligner(aligner: Aligner | str) -> Aligner:
    try:
        return Aligner(aligner)
    except ValueError:
        raise InvalidOption("aligner", aligner, ", ".join(Aligner)) from None


def _parse_audio_stream(wanted: int | str | None) -> int | str | None:
    allowed = f"a whole number from 0, a language such as eng, or a title of at most {_LONGEST_TITLE} characters"
    text = wanted.strip() if isinstance(wanted, str) else wanted
    if isinstance(text, str):
        _check("audio stream", f"{text[:20]}...", len(text) <= _LONGEST_TITLE, allowed)
        text = int(text) if re.fullmatch(r"[+-]?\d+", text) else text
    good = bool(text) if isinstance(text, str) else text is None or (type(text) is int and text >= 0)
    _check("audio stream", wanted, good, allowed)
    return text


def _check(option: str, value: object, good: bool, allowed: str) -> None:
    if not good:
        raise InvalidOption(option, value, allowed)

"""What a request for a transcription asks for: the form's fields, in the spellings that clients use."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.language import LANGUAGES
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Form = Mapping[str, Sequence[str]]


class ResponseFormat(StrEnum):
    """`response_format`."""

    JSON = "json"
    TEXT = "text"
    SRT = "srt"
    VERBOSE_JSON = "verbose_json"
    VTT = "vtt"


_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"", "false", "0", "no", "off"}
_GRANULARITIES = ("word", "segment")
_KNOWN = frozenset(
    (
        "model",
        "language",
        "prompt",
        "response_format",
        "temperature",
        "timestamp_granularities",
        "stream",
        "include",
        "chunking_strategy",
        "known_speaker_names",
        "known_speaker_references",
        "keywords",
        "languages",
        "hotwords",
        "service_tier",
    )
)
_UNREAD = frozenset(("file", "chunking_strategy", "known_speaker_names", "known_speaker_references"))
FIELDS = _KNOWN | _UNREAD
"""Every field that is taken, though some say nothing here."""
INTERACTIVE, BATCH = 1, 0
"""Priorities at the engine: somebody waits, or nobody does; these have a share of their own (`recognition.shares`)."""
_TIERS = {"auto": INTERACTIVE, "default": INTERACTIVE, "priority": INTERACTIVE, "flex": BATCH}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, read. `model` "" is the default; `words` and `segments` are the granularities of verbose_json.

    `priority`: `INTERACTIVE` or `BATCH`.
    """

    model: str
    response_format: ResponseFormat
    options: TranscribeOptions
    stream: bool = False
    words: bool = False
    segments: bool = True
    logprobs: bool = False
    priority: int = INTERACTIVE


def read(form: Form, task: str, max_audio_s: float, *, strict: bool = False) -> Asked:
    """The fields of a form, each with the values that it came with; `[]` behind a name counts for nothing.

    Empty is absent, as many clients send every field. Fields that nobody knows are ignored, and those that say nothing
    for the format that was asked for; `strict` refuses both. Raises ApiError (400).
    """
    values = {re.sub(r"\[\]$", "", name): [v for v in found if v != ""] for name, found in form.items()}
    known = {name: found for name, found in values.items() if name in _KNOWN and found}
    one = {name: found[-1] for name, found in known.items()}
    if one.get("response_format") == "diarized_json":
        message = "diarized_json is not available: this server does not tell speakers apart."
        raise ApiError(400, message, param="response_format", code="unsupported_value")
    try:
        response_format = ResponseFormat(one.get("response_format", "json"))
    except ValueError:
        raise _invalid("response_format", one["response_format"], ", ".join(ResponseFormat)) from None
    granularities = known.get("timestamp_granularities", [])
    for granularity in granularities:
        if granularity not in _GRANULARITIES:
            raise _invalid("timestamp_granularities", granularity, " or ".join(_GRANULARITIES))
    included = known.get("include", [])
    for name in included:
        if name != "logprobs":
            raise _invalid("include", name, "logprobs")
    if strict:
        _refuse_unheeded(values, response_format)
    return Asked(
        model=one.get("model", ""),
        response_format=response_format,
        options=options_of(values, task, max_audio_s),
        stream=_flag("stream", one.get("stream", "")),
        words="word" in granularities,
        segments="segment" in granularities or not granularities,
        logprobs="logprobs" in included and response_format is ResponseFormat.JSON,
        priority=_tier(one.get("service_tier", "auto")),
    )


def _refuse_unheeded(values: Form, response_format: ResponseFormat) -> None:
    """Raise ApiError (400) for what would be ignored."""
    for name, given in values.items():
        if given and name not in FIELDS and not name.startswith("chunking_strategy["):
            raise ApiError(400, f"There is no field {name[:100]!r}.", param=name[:100], code="unknown_parameter")
    is_verbose = response_format is ResponseFormat.VERBOSE_JSON
    if values.get("timestamp_granularities") and not is_verbose:
        raise _invalid("timestamp_granularities", f"set with {response_format}", "response_format=verbose_json")
    if values.get("include") and response_format is not ResponseFormat.JSON:
        raise _invalid("include", f"set with {response_format}", "response_format=json")


def _tier(name: str) -> int:
    if name not in _TIERS:
        raise _invalid("service_tier", name, ", ".join(_TIERS))
    return _TIERS[name]


def options_of(values: Form, task: str, max_audio_s: float, **more: Any) -> TranscribeOptions:
    """The options that fields ask for, empty ones left out; `more` are options themselves. Raises ApiError (400)."""
    known = {name: found for name, found in values.items() if name in _KNOWN and found}
    one = {name: found[-1] for name, found in known.items()}
    fields: dict[str, Any] = {"task": task, "max_duration_s": max_audio_s}
    if "language" in one:
        fields["language"] = _language(one["language"])
    if languages := known.get("languages"):
        fields["allowed_languages"] = tuple(_language(name) for name in languages)
    fields["initial_prompt"] = one.get("prompt", "")
    fields["hotwords"] = ", ".join([*known.get("keywords", []), *known.get("hotwords", [])])
    temperature = _number("temperature", one.get("temperature", "0"), 0.0, 1.0)
    if temperature:
        fields["temperatures"] = (temperature,)
    fields |= _chunking(one.get("chunking_strategy", ""), values)
    try:
        return TranscribeOptions(**(fields | more))
    except InvalidOption as error:
        raise ApiError(400, str(error), param=_param(error.option), code="invalid_value") from error


def _chunking(strategy: str, values: Form) -> dict[str, float]:
    """`auto`, or OpenAI's `server_vad` as JSON or as `chunking_strategy[threshold]` and the like."""
    found: dict[str, Any] | None = {}
    if strategy in ("", "auto"):
        pattern = re.compile(r"chunking_strategy\[(\w+)\]")
        found = {m[1]: given[-1] for name, given in values.items() if given and (m := pattern.fullmatch(name))}
    else:
        try:
            told = json.loads(strategy)
        except (ValueError, RecursionError):
            told = None
        found = told if isinstance(told, dict) else None
    if found is None:
        raise _invalid("chunking_strategy", strategy, "auto, or an object of type server_vad")
    if found.get("type", "server_vad") != "server_vad":
        raise _invalid("chunking_strategy", str(found["type"]), "server_vad")
    names = {
        "threshold": ("vad_threshold", 1.0),
        "silence_duration_ms": ("vad_min_silence_s", 0.001),
        "prefix_padding_ms": ("vad_pad_s", 0.001),
    }
    return {
        field: scale * _number(f"chunking_strategy[{name}]", str(found[name]), 0.0, 10_000.0)
        for name, (field, scale) in names.items()
        if name in found
    }


def _language(name: str) -> str:
    """`en-US` is `en`; what the package knows more exactly (`zh-TW`) stays as it is."""
    base = re.split(r"[-_]", name.strip(), maxsplit=1)[0].lower()
    return name.strip() if base == "zh" or base not in LANGUAGES else base


def _flag(name: str, value: str) -> bool:
    if value.lower() not in _TRUE | _FALSE:
        raise _invalid(name, value, "true or false")
    return value.lower() in _TRUE


def _number(name: str, value: str, least: float, most: float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise _invalid(name, value, f"a number from {least:g} to {most:g}")
    return number


def _invalid(param: str, value: str, allowed: str) -> ApiError:
    return ApiError(400, f"{param} cannot be {value[:100]!r}. Use {allowed}.", param=param, code="invalid_value")


def _param(option: str) -> str:
    return {"prompt": "prompt", "hotwords": "keywords", "language": "language"}.get(option, option.replace(" ", "_"))

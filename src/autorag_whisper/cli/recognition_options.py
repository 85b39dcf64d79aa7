"""The options of `transcribe` that decide what is recognised and how, and its help in sections."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from autorag_whisper.domain.request import DEFAULT_TEMPERATURES, Aligner, Quality, Task, TranscribeOptions
from autorag_whisper.settings import COMPUTE_TYPES, ENGINES, MAX_THREADS, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_DEFAULT = TranscribeOptions()

SECTIONS = {
    "Speech": ("model", "language", "allowed_languages", "code_switching", "task", "quality", "aligner", "prompt",
               "hotwords", "prefix"),
    "What is heard": ("audio_stream", "clips", "vad", "vad_threshold", "vad_min_speech", "vad_min_silence",
                      "vad_padding"),
    "Search for the text": ("beam_size", "temperature", "patience", "length_penalty", "repetition_penalty",
                            "no_repeat_ngram_size", "suppress_tokens", "suppress_blank", "max_new_tokens",
                            "no_speech_threshold", "logprob_threshold", "compression_ratio_threshold"),
    "Device": ("device", "engine", "compute_type", "threads", "batch_size"),
    "Subtitles": ("style", "line_length", "lines", "max_words", "reading_speed", "min_duration", "max_duration",
                  "min_gap", "highlight_words"),
}  # fmt: skip
"""Sections of the help and the options in each, by their names in the program. All others come after these."""
REST = "Output and other"


class SectionedCommand(click.Command):
    """A command whose help has its options in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        rows = {option.name: row for option in options if (row := option.get_help_record(ctx)) is not None}
        sections = {title: [rows.pop(name) for name in names if name in rows] for title, names in SECTIONS.items()}
        for title, lines in (sections | {REST: list(rows.values())}).items():
            if lines:
                with formatter.section(title):
                    formatter.write_dl(lines)


def _number(name: str, default: float, help_text: str) -> Callable[[Any], Any]:
    return click.option(name, type=float, default=default, show_default=True, metavar="NUMBER", help=help_text)


_OPTIONS = (
    click.option("-m", "--model", default="base", show_default=True, help="Size, hub id (owner/name) or folder."),
    click.option(
        "-l", "--language", help="Code or English name, else it is found out. zh-Hans, zh-TW: characters too."
    ),
    click.option("--allowed-languages", default="", metavar="CODE[,CODE...]", help="Among which it is found out."),
    click.option("--code-switching", is_flag=True, help="Languages are mixed from sentence to sentence."),
    click.option(
        "--task",
        type=click.Choice([task.value for task in Task]),
        default=Task.TRANSCRIBE.value,
        show_default=True,
        help="Or into English.",
    ),
    click.option(
        "--quality",
        type=click.Choice([quality.value for quality in Quality]),
        default=Quality.BALANCED.value,
        show_default=True,
        help="Speed against accuracy.",
    ),
    click.option(
        "--aligner",
        type=click.Choice([aligner.value for aligner in Aligner]),
        default=Aligner.AUTO.value,
        show_default=True,
        help="How words get their times.",
    ),
    click.option("--prompt", default="", help="Text that sets style and spelling."),
    click.option("--hotwords", default="", help="Words that are likely to occur."),
    click.option("--prefix", default="", help="Text with which the first piece begins."),
    click.option(
        "--audio-stream",
        metavar="N|LANGUAGE",
        help="Which of a file's audio streams: number from 0, language or title; default: as players choose.",
    ),
    click.option(
        "--clip",
        "clips",
        multiple=True,
        metavar="FROM-TO[,...]",
        help="Parts to recognise, such as 1:30-2:45 or 1:02:03-; times in outputs stay the file's.",
    ),
    click.option("--vad/--no-vad", "vad", default=True, help="Only what voice activity finds, or all of it."),
    _number("--vad-threshold", _DEFAULT.vad_threshold, "Probability of a voice from which it is speech."),
    _number("--vad-min-speech", _DEFAULT.vad_min_speech_s, "Seconds of the shortest speech."),
    _number("--vad-min-silence", _DEFAULT.vad_min_silence_s, "Seconds of silence that end speech."),
    _number("--vad-padding", _DEFAULT.vad_pad_s, "Seconds heard around speech."),
    click.option("--beam-size", type=int, help="Instead of the quality's; 1 is fastest."),
    click.option("--temperature", multiple=True, metavar="T[,T...]", help="Tried in order while an attempt fails."),
    _number("--patience", _DEFAULT.patience, "Beam search goes on for so many times its beam."),
    _number("--length-penalty", _DEFAULT.length_penalty, "Above 1 beam search prefers longer texts."),
    _number("--repetition-penalty", _DEFAULT.repetition_penalty, "Above 1 repetitions become less likely."),
    click.option(
        "--no-repeat-ngram-size",
        type=int,
        default=_DEFAULT.no_repeat_ngram_size,
        metavar="N",
        help="No run of N tokens comes twice in a piece; 0 allows it.",
    ),
    click.option(
        "--suppress-tokens",
        default=",".join(map(str, _DEFAULT.suppress_tokens)),
        show_default=True,
        metavar="ID[,ID...]",
        help='Never chosen; -1: the model\'s list, "": none.',
    ),
    click.option(
        "--suppress-blank/--no-suppress-blank",
        "suppress_blank",
        default=True,
        help="Whether no text may begin with a blank.",
    ),
    click.option("--max-new-tokens", type=int, metavar="N", help="The most that a piece may have; the rest is cut."),
    _number("--no-speech-threshold", _DEFAULT.no_speech_threshold, 'Probability of "no speech" that rejects a text...'),
    _number("--logprob-threshold", _DEFAULT.logprob_threshold, "... if its tokens are less likely; else it is redone."),
    _number(
        "--compression-ratio-threshold",
        _DEFAULT.compression_ratio_threshold,
        "Text that packs better repeats itself and is redone.",
    ),
    click.option("--device", default="auto", show_default=True, metavar="DEVICE", help="auto, cpu, cuda or cuda:N."),
    click.option("--engine", type=click.Choice(ENGINES), help="Default: auto; native is for CPUs, whisperx an extra."),
    click.option("--compute-type", type=click.Choice(COMPUTE_TYPES), help="Default: the best that the device has."),
    click.option("--threads", type=click.IntRange(0, MAX_THREADS), help="CPU workers; 0: one for each core."),
    click.option("--batch-size", type=int, help="Pieces of audio at a time."),
)


_SETTINGS = ("engine", "compute_type", "threads")
"""Options that are fields of `Settings`."""

_SAME = (
    "language", "code_switching", "task", "quality", "aligner", "audio_stream", "vad", "vad_threshold", "beam_size",
    "patience", "length_penalty", "repetition_penalty", "no_repeat_ngram_size", "suppress_tokens", "suppress_blank",
    "max_new_tokens", "no_speech_threshold", "logprob_threshold", "compression_ratio_threshold", "batch_size",
)  # fmt: skip
"""Options that are fields of `TranscribeOptions` as they are."""


def recognition_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of recognition that `names` lists, or all of them."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        parameters = _parameters(command)
        others = len(parameters)
        for option in reversed(_OPTIONS):
            option(command)
        if names:
            parameters[others:] = [item for item in parameters[others:] if item.name in names]
        return command

    return decorate


def _parameters(command: Callable[..., Any]) -> list[click.Parameter]:
    """The list in which click gathers a command's parameters, the last one first."""
    found: list[click.Parameter] = command.__dict__.setdefault("__click_params__", [])
    return found


def options_of(given: dict[str, Any]) -> TranscribeOptions:
    """The options of recognition in a command line, with defaults for the rest. Raises InvalidOption."""
    values = {name: given[name] for name in _SAME if name in given}
    for name, (field, convert) in _CONVERTED.items():
        if name in given:
            values[field] = convert(given[name])
    return TranscribeOptions(**values)


def settings_of(given: dict[str, Any], environ: Mapping[str, str]) -> Settings:
    """The settings of the environment, with what the command line says instead. Raises InvalidSettings."""
    return replace(Settings.from_env(environ), **{name: given[name] for name in _SETTINGS if given[name] is not None})


def environ_of(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which a process of ours has these settings, as far as options of the command line say them."""
    return {**environ, **{f"AUTORAG_WHISPER_{name.upper()}": str(getattr(settings, name)) for name in _SETTINGS}}


def device_of(text: str) -> str:
    """`--device`: `auto` or a device, spelt as usual. Raises InvalidOption.

    The Python API takes an unknown one for the CPU; a person at a terminal mistyped it.
    """
    from autorag_whisper.domain.device import parse_device
    from autorag_whisper.domain.errors import InvalidOption

    device = parse_device(text)
    if device is None and text.strip().lower() != "auto":
        raise InvalidOption("--device", text, "auto, cpu, cuda or cuda:N")
    return str(device or "auto")


def _temperatures(given: Sequence[str]) -> tuple[float, ...]:
    from autorag_whisper.domain.errors import InvalidOption

    try:
        return tuple(float(number) for value in given for number in value.split(",")) or DEFAULT_TEMPERATURES
    except ValueError:
        raise InvalidOption("--temperature", ",".join(given), "numbers from 0 to 2 with commas between them") from None


def _text(argument: str) -> str:
    """An argument as text for the model, with U+FFFD in the place of bytes that are no UTF-8."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _as_given(value: Any) -> Any:
    return value


_CONVERTED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "allowed_languages": ("allowed_languages", lambda names: tuple(name for name in names.split(",") if name.strip())),
    "temperature": ("temperatures", _temperatures),
    "prompt": ("initial_prompt", _text),
    "hotwords": ("hotwords", _text),
    "prefix": ("prefix", _text),
    "clips": ("clips", lambda clips: tuple(part for value in clips for part in value.split(","))),
    "vad_min_speech": ("vad_min_speech_s", _as_given),
    "vad_min_silence": ("vad_min_silence_s", _as_given),
    "vad_padding": ("vad_pad_s", _as_given),
}
"""All other options: their field of `TranscribeOptions`, and the function that makes its value."""

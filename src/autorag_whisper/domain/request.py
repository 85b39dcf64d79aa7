"""What a caller can ask for: one frozen options object, validated when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.language import parse_language


class Task(StrEnum):
    """What becomes of the speech: its own words, or English ones."""

    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"


class Aligner(StrEnum):
    """How words get their times. Whatever is asked for, the next one down serves where it fails."""

    AUTO = "auto"
    CHARACTERS = "characters"
    TOKENS = "tokens"
    NONE = "none"


DEFAULT_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Whisper's temperature fallback (Radford et al. 2022, section 4.5): the next one only after a failed attempt."""

MAX_PROMPT_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class TranscribeOptions:
    """Everything about one transcription except the file and the model.

    Attributes:
        language: a Whisper code; None detects it. Every spelling of `parse_language` is accepted.
        task: `transcribe`, or `translate` into English.
        beam_size: hypotheses kept at temperature 0; 1 is greedy search.
        temperatures: the temperature fallback, tried in order while an attempt fails a threshold.
        initial_prompt: text that is put before every chunk as if it had been said before (names, style).
        hotwords: words that are likely to occur, put before every chunk after the prompt.
        batch_size: chunks in one engine call; None leaves it to the device's default.
        audio_stream: which audio stream of the file, counted from 0; None takes the first.
        compression_ratio_threshold: text that packs better than this is a repetition: the attempt failed.
        logprob_threshold: mean log-probability of the tokens below which an attempt failed.
        no_speech_threshold: probability of "no speech" above which a failed attempt's text is rejected.
        vad_threshold: speech probability (0..1) from which a 32 ms window counts as speech.
        aligner: `characters` where the model's heads for it are known (`auto`), its `tokens`, or `none`: spread evenly.
        max_duration_s: more audio than this raises MediaTooLong while decoding; None has no limit.
    """

    language: str | None = None
    task: Task = Task.TRANSCRIBE
    beam_size: int = 5
    temperatures: tuple[float, ...] = DEFAULT_TEMPERATURES
    initial_prompt: str = ""
    hotwords: str = ""
    batch_size: int | None = None
    audio_stream: int | None = None
    compression_ratio_threshold: float = 2.4
    logprob_threshold: float = -1.0
    no_speech_threshold: float = 0.6
    vad_threshold: float = 0.5
    aligner: Aligner = Aligner.AUTO
    max_duration_s: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "language", parse_language(self.language))
        object.__setattr__(self, "task", _parse_task(self.task))
        object.__setattr__(self, "aligner", _parse_aligner(self.aligner))
        _check("beam size", self.beam_size, 1 <= self.beam_size <= 100, "a whole number from 1 to 100")
        _check("temperature", self.temperatures, bool(self.temperatures), "at least one number")
        for temperature in self.temperatures:
            good = math.isfinite(temperature) and 0 <= temperature <= 2
            _check("temperature", temperature, good, "numbers from 0 to 2")
        batch = self.batch_size
        _check("batch size", batch, batch is None or 1 <= batch <= 256, "a whole number from 1 to 256")
        stream = self.audio_stream
        _check("audio stream", stream, stream is None or stream >= 0, "a whole number from 0")
        _check("VAD threshold", self.vad_threshold, 0 < self.vad_threshold < 1, "a number between 0 and 1")
        limit = self.max_duration_s
        _check("longest duration", limit, limit is None or limit > 0, "seconds above 0")
        for name, text in (("prompt", self.initial_prompt), ("hotwords", self.hotwords)):
            allowed = f"at most {MAX_PROMPT_CHARACTERS} characters"
            _check(name, f"{text[:20]}...", len(text) <= MAX_PROMPT_CHARACTERS, allowed)


def _parse_task(task: Task | str) -> Task:
    try:
        return Task(task)
    except ValueError:
        raise InvalidOption("task", task, " or ".join(Task)) from None


def _parse_aligner(aligner: Aligner | str) -> Aligner:
    try:
        return Aligner(aligner)
    except ValueError:
        raise InvalidOption("aligner", aligner, ", ".join(Aligner)) from None


def _check(option: str, value: object, good: bool, allowed: str) -> None:
    if not good:
        raise InvalidOption(option, value, allowed)

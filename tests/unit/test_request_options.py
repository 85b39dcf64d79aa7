"""Options of the search and of voice activity: their ranges, and that each reaches the engine or the chunker."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import numpy as np
import pytest

from autorag_whisper.archive.fingerprint import options_digest
from autorag_whisper.audio.chunking import ChunkingRules
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.request import Aligner, AlignerName, Quality, QualityName, Task, TaskName, TranscribeOptions
from autorag_whisper.format.options import Highlight, HighlightName, SubtitleOptions
from autorag_whisper.settings import Settings
from autorag_whisper.testing import FakeWhisperPipeline
from autorag_whisper.transcriber.reading import chunking_rules

if TYPE_CHECKING:
    from enum import StrEnum


BAD = {
    "patience": (0, 0.05, 11, -1, math.nan, "1", None, True),
    "length_penalty": (-11, 11, math.inf, math.nan, "x", None),
    "repetition_penalty": (0, -1, 10.5, math.nan, None),
    "no_repeat_ngram_size": (-1, 1.5, 101, "2", None, True),
    "max_new_tokens": (0, -5, 441, 1.5, "7", True),
    "suppress_tokens": ("a", (1.5, "b"), (-2,), 5, None, (2**31,), (None,)),
    "prefix": ("x" * 201, None, 5, b"x"),
    "audio_stream": ("", " ", -1, 1.5, True, "-3", "x" * 1001, "9" * 5000),
    "vad_threshold": (0, 1, -0.1, 1.5, math.nan, "0.5", None),
    "vad_min_speech_s": (-0.1, 11, math.nan, None),
    "vad_min_silence_s": (-0.1, 11, math.nan, "1"),
    "vad_pad_s": (-0.1, 5.5, math.nan, None),
    "no_speech_threshold": (-0.1, 1.1, math.nan, None),
    "logprob_threshold": (0.1, math.nan, "x"),
    "compression_ratio_threshold": (-1, math.nan, None),
}
OTHER: dict[str, Any] = {
    "patience": 2.0, "length_penalty": 0.5, "repetition_penalty": 1.2, "no_repeat_ngram_size": 3, "max_new_tokens": 50,
    "suppress_tokens": (-1, 7), "suppress_blank": False, "prefix": "Well,", "vad": False, "vad_threshold": 0.3,
    "vad_min_speech_s": 0.2, "vad_min_silence_s": 0.5, "vad_pad_s": 1.0, "no_speech_threshold": 0.4,
    "logprob_threshold": -0.5, "compression_ratio_threshold": 2.0, "clips": "1-2",
}  # fmt: skip
"""Of each option a value that it may have and that changes something."""


@pytest.mark.parametrize(("option", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_value_out_of_its_range_is_a_typed_error(option: str, value: Any) -> None:
    with pytest.raises(InvalidOption) as raised:
        TranscribeOptions(**{option: value})
    assert "use " in str(raised.value)


def test_the_ends_of_ranges_and_numbers_of_other_libraries_are_taken() -> None:
    made = TranscribeOptions(
        patience=np.float32(0.1), repetition_penalty=10, no_repeat_ngram_size=np.int64(100), max_new_tokens=440,
        suppress_tokens=np.array([5, 5, -1]), logprob_threshold=-math.inf, compression_ratio_threshold=math.inf,
        no_speech_threshold=1, vad_min_speech_s=0, vad_min_silence_s=0, vad_pad_s=0,
    )  # type: ignore[arg-type]  # numbers of numpy's  # fmt: skip
    assert made.suppress_tokens == (5, -1)
    assert json.dumps(asdict(made))
    assert TranscribeOptions(suppress_tokens="").suppress_tokens == ()  # type: ignore[arg-type]  # as is convenient


def test_every_option_is_part_of_a_runs_identity() -> None:
    plain = options_digest(TranscribeOptions(), Settings(), model="base")
    digests = {
        options_digest(TranscribeOptions(**{name: value}), Settings(), model="base") for name, value in OTHER.items()
    }
    assert len(digests) == len(OTHER)
    assert plain not in digests


# ------------------------------------------------------------ voice activity


def test_options_that_nobody_gave_change_no_rule_of_the_chunker() -> None:
    found = chunking_rules(FakeWhisperPipeline().spec, TranscribeOptions())
    assert found == ChunkingRules()


def test_the_options_of_voice_activity_reach_the_chunker() -> None:
    asked = {"vad_threshold": 0.3, "vad_min_speech_s": 0.2, "vad_min_silence_s": 0.5, "vad_pad_s": 3.0}
    for switching in (False, True):
        rules = chunking_rules(FakeWhisperPipeline().spec, TranscribeOptions(**asked, code_switching=switching))
        assert (rules.threshold, rules.min_speech_s, rules.min_silence_s, rules.pad_s) == tuple(asked.values())
        assert rules.unclear_pad_s == 3.0


ANYTHING: tuple[Any, ...] = (
    None, 5, -1, 1.5, True, "x", "", [], {}, b"x", (None,), float("nan"), float("inf"), [[]], (5,), 10**400, {"en"},
)  # fmt: skip


@pytest.mark.parametrize("kind", [TranscribeOptions, SubtitleOptions])
def test_any_value_of_any_field_is_taken_or_an_invalid_option(kind: type[Any]) -> None:
    for field in dataclasses.fields(kind):
        for value in ANYTHING:
            with contextlib.suppress(InvalidOption):
                kind(**{field.name: value})


def test_allowed_languages_may_be_one_text() -> None:
    languages: Any = "en, German"
    assert TranscribeOptions(allowed_languages=languages).allowed_languages == ("en", "de")


@pytest.mark.parametrize(
    ("names", "values"),
    [(TaskName, Task), (QualityName, Quality), (AlignerName, Aligner), (HighlightName, Highlight)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_type_checker_accepts_the_names_that_the_run_time_accepts(names: object, values: type[StrEnum]) -> None:
    assert get_args(names) == tuple(value.value for value in values)


def test_what_is_given_as_a_name_is_held_as_its_value() -> None:
    options = TranscribeOptions(task="translate", quality="fast", aligner="none")
    assert (options.task, options.quality, options.aligner) == (Task.TRANSLATE, Quality.FAST, Aligner.NONE)
    assert isinstance(options.quality, Quality)
    assert isinstance(SubtitleOptions(highlight="karaoke").highlight, Highlight)


@pytest.mark.parametrize("options", [TranscribeOptions, SubtitleOptions])
def test_the_annotations_of_options_can_be_evaluated(options: type) -> None:
    """Libraries that make command lines or schemas of dataclasses do so."""
    assert get_type_hints(options).keys() == {field.name for field in dataclasses.fields(options)}

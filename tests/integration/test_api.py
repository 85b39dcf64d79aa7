"""The three functions of the contract, on the real engine."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

import autorag_whisper
from autorag_whisper import TranscribeOptions, build_transcriber, get_model, resolved_device, transcribe_segment
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.format.structured import words_json

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.kit
def test_jfk_says_his_sentence_with_times(kit: Path) -> None:
    words = transcribe_segment(get_model("base"), str(kit / "real" / "jfk.flac"), None)
    said = " ".join(word["w"] for word in words)
    assert said.startswith("And so my fellow Americans, ask not what your country can do for you")
    assert [set(word) for word in words] == [{"w", "s", "e", "p"}] * len(words)
    assert [word["s"] for word in words] == sorted(word["s"] for word in words)
    assert all(0 <= word["s"] <= word["e"] <= 11.0 and 0 <= word["p"] <= 1 for word in words)


def test_words_are_those_that_the_command_writes(demo_sample: Path) -> None:
    words = transcribe_segment(get_model("tiny.en", "cpu"), demo_sample, "en")
    with build_transcriber() as transcriber:
        transcript = transcriber.transcribe(demo_sample, TranscribeOptions(language="en"), model="tiny.en")
    assert words == json.loads(words_json(transcript))
    assert all(time_s == round(time_s, 3) for word in words for time_s in (word["s"], word["e"]))
    assert all(word["p"] == round(word["p"], 4) for word in words)


def test_every_spelling_of_a_language_means_the_same(demo_sample: Path) -> None:
    model = get_model("tiny.en", "cpu")
    answers = [transcribe_segment(model, demo_sample, name) for name in ("en", "EN", "en-US", "English", "", None)]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]
    with pytest.raises(InvalidOption):
        transcribe_segment(model, demo_sample, "klingon")


@pytest.mark.slow
def test_the_same_model_is_the_same_object_and_never_another_size() -> None:
    small, large = get_model("tiny.en"), get_model("base")
    assert get_model("tiny.en") is small
    assert (small.size, large.size) == ("tiny.en", "base")
    assert (small.device, small.compute_type) == ("cpu", "int8")


def test_a_hint_that_means_nothing_is_the_cpu_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "autorag_whisper"):
        assert get_model("tiny.en", "gpu please").device == "cpu"
    assert "gpu please" in caplog.text


def test_the_device_for_display_is_the_one_used_last() -> None:
    get_model("tiny.en")
    assert resolved_device() == "cpu"
    assert autorag_whisper.resolved_device is resolved_device

"""The sample that comes along, with its exact times: what `make demo` shows is what was spoken, when it was spoken."""

from __future__ import annotations

import json
from statistics import median
from typing import TYPE_CHECKING, Any

import av
import pytest

import autorag_whisper

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def truth(demo_sample: Path) -> dict[str, Any]:
    return json.loads(demo_sample.with_suffix(".words.json").read_text(encoding="utf-8"))


def test_the_samples_true_words_are_its_text_in_order_and_inside_the_file(
    demo_sample: Path, truth: dict[str, Any]
) -> None:
    spans = [edge for word in truth["words"] for edge in (word["s"], word["e"])]
    assert " ".join(word["w"] for word in truth["words"]) == truth["text"]
    assert spans == sorted(spans)
    with av.open(str(demo_sample)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
        assert samples / container.streams.audio[0].rate == truth["duration_s"] > spans[-1]


def test_the_base_model_hears_every_word_of_the_sample_at_its_time(demo_sample: Path, truth: dict[str, Any]) -> None:
    model = autorag_whisper.get_model("base", "cpu")
    words = autorag_whisper.transcribe_segment(model, str(demo_sample), None)
    assert [word["w"] for word in words] == [word["w"] for word in truth["words"]]
    early_or_late_s = [abs(heard["s"] - true["s"]) for heard, true in zip(words, truth["words"], strict=True)]
    assert median(early_or_late_s) < 0.2
    # The word after the pause is the hard one: an aligner that smears it over the silence is seconds early.
    assert max(early_or_late_s) < 0.8

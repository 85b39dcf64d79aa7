"""A known text is aligned, not recognised: its words, all of them and no other, on the recording's own timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.domain.transcript_errors import TextTooLong
from autorag_whisper.testing import FakeWhisper, speech_samples
from autorag_whisper.transcriber.given_text import MOST_S, GivenText, aligned_words
from kit import read_manifest
from run_world import World

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.domain.device import Device

SPEECH = speech_samples(12)


class Deaf(FakeWhisper):
    """Cannot recognise: whoever asks it to fails the test."""

    def generate(self, *_: object, **__: object) -> list[object]:  # type: ignore[override]  # it never returns
        raise AssertionError("nothing is to be recognised")


@pytest.mark.parametrize("text", ["one two three", "one", "no no no no no no", "a b — c!", "so  many\nlines"])
def test_the_words_are_those_of_the_text_whatever_is_said(text: str) -> None:
    world = World(engine=Deaf)
    words = aligned_words(world.transcriber, SPEECH, GivenText(text, language="en"), model="fake")
    assert " ".join(word.text for word in words) == " ".join(text.split())
    times = [time for word in words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= len(SPEECH) / 16_000


def test_a_span_is_aligned_in_its_place() -> None:
    words = aligned_words(World(engine=Deaf).transcriber, SPEECH, GivenText("one two", 1.0, 2.5, "en"), model="fake")
    assert all(1.0 <= word.start_s <= word.end_s <= 2.5 for word in words)


def test_more_than_anybody_can_say_no_word_at_all_and_too_long_a_span_are_refused() -> None:
    with pytest.raises(TextTooLong, match="letters cannot be said"):
        GivenText("much " * 100, 0.0, 1.0)
    for nothing in ("", " ", "…!?"):
        with pytest.raises(InvalidOption, match="text"):
            GivenText(nothing, 0.0, 1.0)
    with pytest.raises(InvalidOption, match="span"):
        GivenText("one", 0.0, MOST_S + 1)
    with pytest.raises(InvalidOption, match="clip"):
        GivenText("one", 2.0, 2.0)


def test_a_recording_that_is_longer_than_a_span_may_be_and_a_language_that_is_missing_are_refused() -> None:
    world = World(engine=Deaf)
    with pytest.raises(InvalidOption, match="given text"):
        aligned_words(world.transcriber, np.tile(SPEECH, 12), GivenText("one", language="en"), model="fake")
    with pytest.raises(InvalidOption, match="language"):
        aligned_words(world.transcriber, SPEECH, GivenText("one"), model="fake")


def test_where_no_aligner_finds_them_words_are_spread_and_say_so() -> None:
    class Blind(Deaf):
        def __init__(self, *, device: Device, **given: object) -> None:
            super().__init__(device=device, **given)  # type: ignore[arg-type]  # what a world gives

        def align(self, *_: object, **__: object) -> list[object]:  # type: ignore[override]  # it never returns
            raise ValueError("no path")

    words = aligned_words(World(engine=Blind).transcriber, SPEECH, GivenText("one two", language="en"), model="fake")
    assert [word.source for word in words] == [WordSource.INTERPOLATED] * 2
    assert words[0].end_s <= words[1].start_s


@pytest.mark.kit
def test_true_texts_are_aligned_as_well_as_recognised_words_are(kit: Path) -> None:
    """With the true text of people's recordings, half of the edges are within 50 ms, nine in ten within 0.2 s."""
    from autorag_whisper import align_text, get_model

    model = get_model("tiny.en", "cpu")
    off: list[float] = []
    for clip in read_manifest(kit / "human2"):
        words = align_text(model, clip.path, " ".join(word.text for word in clip.words))
        assert [word["w"] for word in words] == " ".join(word.text for word in clip.words).split()
        if len(words) == len(clip.words):
            off += [abs(found["s"] - true.start_s) for found, true in zip(words, clip.words, strict=True)]
    assert len(off) > 20
    assert float(np.median(off)) <= 0.05
    assert float(np.percentile(off, 90)) <= 0.2

"""Recordings in several languages, with the real engine. Long ones are measured by `benchmarks/languages.py`."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper import build_transcriber
from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.domain.notes import NoteKind
from autorag_whisper.domain.request import Quality, TranscribeOptions
from kit import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.domain.notes import Note
    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.transcriber import Transcriber

FAST = TranscribeOptions(quality=Quality.FAST)


@pytest.fixture(scope="module")
def transcriber(base_folder: Path) -> Iterator[Transcriber]:
    with build_transcriber() as made:
        yield made


def samples_of(path: Path) -> Samples:
    with path.open("rb") as file, MediaDecoder(file, path.name) as decoder:
        return np.concatenate(list(decoder))


def of_the_audio(transcript: Transcript) -> list[Note]:
    """Without what a machine says that has no compiler, so no native engine."""
    return [note for note in transcript.notes if note.kind is not NoteKind.ENGINE_NOT_USED]


@pytest.mark.kit
def test_seven_seconds_of_english_do_not_decide_for_the_german_behind(transcriber: Transcriber, kit: Path) -> None:
    english = samples_of(kit / "real" / "lj_LJ001-0007.flac")
    german = samples_of(kit / "real" / "librivox_de.mp3")[: 53 * SAMPLE_RATE_HZ]
    transcript = transcriber.transcribe(np.concatenate([english, german]), model="base")
    assert transcript.language == "de"
    for word in ("Lebensbeschreibung", "wunderlichen", "Abenteuer"):
        assert word.lower() in transcript.text.lower()
    runs = [language for language, _ in itertools.groupby(transcript.segments, key=lambda segment: segment.language)]
    assert runs == ["en", "de"]
    assert "movable types" in transcript.text
    assert {share.language for share in transcript.languages} == {"de", "en"}
    assert not of_the_audio(transcript)


@pytest.mark.kit
def test_a_language_that_is_not_spoken_is_told_also_of_a_short_clip(transcriber: Transcriber, kit: Path) -> None:
    clip = kit / "real" / "az_fr-FR_train_audio2.opus"
    wrong = transcriber.transcribe(clip, TranscribeOptions(language="en", quality=Quality.FAST), model="base")
    [note] = of_the_audio(wrong)
    assert note.kind is NoteKind.OTHER_LANGUAGE
    assert "French" in note.text
    right = transcriber.transcribe(clip, TranscribeOptions(language="fr", quality=Quality.FAST), model="base")
    assert not of_the_audio(right)


@pytest.mark.kit
@pytest.mark.slow
@pytest.mark.timeout(1200)  # ten minutes of audio
def test_recordings_in_one_language_stay_in_it(transcriber: Transcriber, kit: Path) -> None:
    clips = [clip for clip in read_manifest(kit / "real") if not clip.language.startswith("en")]
    assert len({clip.language for clip in clips}) >= 9
    for clip in clips:
        transcript = transcriber.transcribe(clip.path, FAST, model="base")
        assert len({segment.language for segment in transcript.segments}) <= 1, clip.path.name
        assert NoteKind.OTHER_LANGUAGE not in {note.kind for note in transcript.notes}, clip.path.name

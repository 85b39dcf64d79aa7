"""What is hardly speech, or too much of it: no invented words, no runaway, bounded time. On the real engine."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import wave
from typing import TYPE_CHECKING

import av
import jiwer
import numpy as np
import pytest

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.recognition.effort import REDO_CAPS
from autorag_whisper.testing import write_speech
from kit import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.transcriber import Transcriber


@pytest.fixture(scope="module")
def transcriber() -> Iterator[Transcriber]:
    with build_transcriber() as made:
        yield made


def read(path: Path) -> Samples:
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono", SAMPLE_RATE_HZ)
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
        return np.concatenate([f.to_ndarray().reshape(-1) for f in [*frames, *resampler.resample(None)]])


def test_a_single_word_comes_back_alone(transcriber: Transcriber, root: Path, tmp_path: Path) -> None:
    last = json.loads((root / "samples" / "demo.words.json").read_text())["words"][-1]
    piece = read(root / "samples" / "demo.flac")[round((last["s"] - 0.02) * SAMPLE_RATE_HZ) :]
    file = write_speech(tmp_path / "word.wav", np.concatenate((np.zeros(SAMPLE_RATE_HZ, np.float32), piece)))
    transcript = transcriber.transcribe(file, TranscribeOptions(language="en"))
    assert len(transcript.words) == 1  # which one is not said: out of its sentence "early" is hard even for people
    assert 0.5 < transcript.words[0].start_s < transcript.words[0].end_s < 1.8


@pytest.mark.kit
def test_speech_without_a_pause_for_a_minute_loses_nothing_at_its_cuts(
    transcriber: Transcriber, kit: Path, tmp_path: Path
) -> None:
    clip = next(clip for clip in read_manifest(kit / "tts") if clip.path.name == "long_10min.flac")
    samples = read(clip.path)
    words = [word for word in clip.words if word.end_s < 90]
    spoken = [samples[round(w.start_s * SAMPLE_RATE_HZ) : round(w.end_s * SAMPLE_RATE_HZ)] for w in words]
    transcript = transcriber.transcribe(write_speech(tmp_path / "on.wav", np.concatenate(spoken)))
    assert transcript.duration_s > 60
    expected, heard = " ".join(word.text for word in words), transcript.text
    assert jiwer.wer(_plain(expected), _plain(heard)) < 0.2
    starts = [word.start_s for word in transcript.words]
    assert starts == sorted(starts)
    assert max(b - a for a, b in itertools.pairwise(starts)) < 5


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[\w']+", text.lower()))


def test_a_sound_that_fails_every_attempt_is_tried_a_bounded_number_of_times(
    transcriber: Transcriber, root: Path
) -> None:
    # No text is probable enough for this threshold: each chunk goes through its whole budget (recognition/effort.py).
    sample, usual = root / "samples" / "demo.flac", TranscribeOptions(language="en")
    never = TranscribeOptions(language="en", logprob_threshold=-0.0001)
    once = transcriber.transcribe(sample, usual)
    redone = transcriber.transcribe(sample, never)
    assert {len(segment.attempts) for segment in once.segments} == {1}
    for segment in redone.segments:
        assert {attempt.rejected_for for attempt in segment.attempts} == {"avg_logprob"}
        # Each takes a third of its cap or more, and a redo ends where it has no whole cap of its budget left.
        assert 1 < len(segment.attempts) <= 1 + 3 * REDO_CAPS
    assert {segment.seek_s for segment in redone.segments} == {segment.seek_s for segment in once.segments}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("level", [0, 2, 300])
def test_an_hour_without_speech_gives_no_words_and_next_to_none_of_it_reaches_the_engine(
    transcriber: Transcriber, tmp_path: Path, level: int
) -> None:
    noise = np.random.default_rng(1).integers(-level, level + 1, size=60 * SAMPLE_RATE_HZ).astype("<i2").tobytes()
    with wave.open(str(tmp_path / "hour.wav"), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE_HZ, 0, "NONE", ""))
        for _ in range(60):
            file.writeframes(noise)
    transcript = transcriber.transcribe(tmp_path / "hour.wav", TranscribeOptions())
    assert transcript.words == ()
    assert transcript.duration_s == pytest.approx(3600)
    heard_s = sum(one.end_s - one.start_s for one in transcript.rejected)
    assert transcript.coverage.speech_s + heard_s < 60


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("model", ["tiny.en", "base"])
def test_next_to_no_word_is_invented_over_an_hour_of_sounds(
    transcriber: Transcriber, root: Path, tmp_path: Path, model: str
) -> None:
    # The thresholds were chosen on seeds 1 to 3; this is another.
    command = [sys.executable, "benchmarks/make_no_speech.py", str(tmp_path / "sounds"), "--seed", "4"]
    subprocess.run(command, cwd=root, check=True, capture_output=True, env=dict(os.environ), timeout=600)
    files = sorted((tmp_path / "sounds").glob("*.wav"))
    invented = {
        outcome.source.name: outcome.transcript.text
        for outcome in transcriber.transcribe_many(files, model=model)
        if outcome.transcript is not None and outcome.transcript.words
    }
    assert len(files) > 100
    assert sum(len(text.split()) for text in invented.values()) <= 3, invented


@pytest.mark.slow
@pytest.mark.kit
def test_a_licence_read_in_english_then_in_german_comes_in_both_and_does_not_run_away(
    transcriber: Transcriber, kit: Path
) -> None:
    transcript = transcriber.transcribe(kit / "real" / "fw_multilingual.mp3")
    assert transcript.words
    assert list(dict.fromkeys(segment.language for segment in transcript.segments)) == ["en", "de"]
    assert len(transcript.words) < 6 * transcript.duration_s

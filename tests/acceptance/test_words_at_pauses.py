"""First and last words at pauses, over recordings of the kit that are joined with seconds of silence between them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.domain.request import TranscribeOptions
from kit import read_manifest

if TYPE_CHECKING:
    from pathlib import Path

JOINS = (
    ("real/emu_msajc012.wav", 3.5, "tts/contr01.flac"),
    ("tts/acronym01.flac", 2.4, "tts/pause01.flac"),
    ("tts/quest01.flac", 0.8, "tts/tech02.flac"),
    ("tts/names02.flac", 1.6, "real/emu_msajc003.wav"),
)


def samples_of(path: Path) -> np.ndarray:
    with MediaSource.from_path(path).open() as file, MediaDecoder(file, path.name) as decoder:
        return np.concatenate(list(decoder))


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.parametrize("join", JOINS, ids=lambda join: join[2])
def test_the_words_at_a_pause_lie_on_their_side_of_it(kit: Path, join: tuple[str, float, str]) -> None:
    """ "I" of "I can't believe" was timed at the end of the sentence before, 4 s early."""
    before, pause_s, after = join
    clips = {f"{folder}/{clip.path.name}": clip for folder in ("real", "tts") for clip in read_manifest(kit / folder)}
    first, second = samples_of(clips[before].path), samples_of(clips[after].path)
    silence = np.zeros(round(pause_s * SAMPLE_RATE_HZ), np.float32)
    offset_s = len(first) / SAMPLE_RATE_HZ + pause_s
    with build_transcriber() as transcriber:
        media = MediaSource.from_samples(np.concatenate((first, silence, second)), sample_rate_hz=SAMPLE_RATE_HZ)
        options = TranscribeOptions(language="en", aligner="characters", temperatures=(0.0,))
        words = transcriber.transcribe(media, options, model="base").words
    assert all(a.end_s <= b.start_s for a, b in pairwise(words))
    last, leading = clips[before].words[-1], clips[after].words[0]
    behind = [word for word in words if word.start_s > last.end_s + 0.3]
    assert words[len(words) - len(behind) - 1].end_s == pytest.approx(last.end_s, abs=0.5)
    assert behind[0].start_s == pytest.approx(offset_s + leading.start_s, abs=0.5)
    assert behind[0].text.strip(".,").casefold() == leading.text.strip(".,").casefold()

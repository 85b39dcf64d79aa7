"""The same file gives the same text: in this process and another, alone and beside other files, sampled or not."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper import TranscribeOptions, build_transcriber
from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.testing import write_speech

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.transcriber import Transcriber

# Every text is a repetition by this: every chunk goes through the temperature fallback.
SAMPLED = TranscribeOptions(language="en", compression_ratio_threshold=0.0, temperatures=(0.0, 0.8, 1.0), batch_size=4)
ELSEWHERE = """
import sys
from autorag_whisper import TranscribeOptions, build_transcriber
options = TranscribeOptions(language="en", compression_ratio_threshold=0.0, temperatures=(0.0, 0.8, 1.0))
with build_transcriber() as transcriber:
    for path in sys.argv[1:]:
        print(transcriber.transcribe(path, options, model="tiny.en").text)
"""


@pytest.fixture(scope="module")
def transcriber(tiny_en_folder: Path) -> Iterator[Transcriber]:
    with build_transcriber() as made:
        yield made


@pytest.fixture(scope="module")
def clips(demo_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Speech, and some of it in noise."""
    folder = tmp_path_factory.mktemp("clips")
    with demo_sample.open("rb") as file, MediaDecoder(file, demo_sample.name) as decoder:
        speech = np.concatenate(list(decoder))
    noise = np.random.default_rng(1).standard_normal(3 * 16_000).astype(np.float32)
    made = {"clean": speech[: 5 * 16_000], "noisy": speech[: 3 * 16_000] + 0.01 * noise}
    return [write_speech(folder / f"{name}.wav", samples) for name, samples in made.items()]


def attempts(transcript: Transcript) -> set[float]:
    return {attempt.temperature for segment in transcript.segments for attempt in segment.attempts}


@pytest.mark.slow
def test_the_same_file_gives_the_same_text_wherever_and_beside_whatever(
    transcriber: Transcriber, clips: list[Path]
) -> None:
    alone = [transcriber.transcribe(clip, SAMPLED, model="tiny.en") for clip in clips]
    assert all(0.8 in attempts(transcript) for transcript in alone), "nothing was sampled"
    again = [transcriber.transcribe(clip, SAMPLED, model="tiny.en") for clip in reversed(clips)]
    assert [one.words for one in reversed(again)] == [one.words for one in alone]
    beside = {o.source.name: o.result() for o in transcriber.transcribe_many(clips[::-1], SAMPLED, model="tiny.en")}
    assert [beside[clip.name].words for clip in clips] == [one.words for one in alone]
    command = [sys.executable, "-c", ELSEWHERE, *map(str, clips)]
    elsewhere = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    assert elsewhere.splitlines() == [one.text for one in alone]


@pytest.mark.kit
@pytest.mark.slow
def test_half_a_character_is_in_no_text(transcriber: Transcriber, kit: Path, base_folder: Path) -> None:
    """A long prompt in Chinese ended a text behind two of the three bytes of a comma."""
    prompt = "这是一个关于自定义语音门户的说明，其中包括数据、模型、测试和终结点等内容，"  # noqa: RUF001 - the comma is a Chinese one
    prompt = f"{prompt}请注意使用标点符号和简体中文。" * 6
    options = TranscribeOptions(language="zh", initial_prompt=prompt)
    transcript = transcriber.transcribe(kit / "real" / "az_zh-CN_train_audio1.opus", options, model="base")
    assert len(transcript.text) > 20
    assert "\ufffd" not in transcript.text
    assert not any("\ufffd" in text.text for text in transcript.rejected)

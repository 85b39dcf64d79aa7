"""Memory does not grow with the file: measured on whole processes, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from pathlib import Path


def peak_mb(root: Path, files: list[Path], result: Path, engine: str = "ours", **environ: str) -> float:
    """The peak memory of a process that transcribes these files with base."""
    command = [sys.executable, "benchmarks/folder.py", engine, *map(str, files), "--json", str(result)]
    subprocess.run(command, cwd=root, check=True, capture_output=True, env={**os.environ, **environ}, timeout=1500)
    return float(json.loads(result.read_text())["peak_mb"])


def in_pieces(file: Path, folder: Path, length_s: int) -> list[Path]:
    """The same sound as WAV files of this length."""
    source = MediaSource.from_path(file)
    with source.open() as opened, MediaDecoder(opened, source.name) as decoder:
        sound = np.concatenate([block.data for block in decoder])
    whole = length_s * SAMPLE_RATE_HZ
    starts = range(0, len(sound), whole)
    return [write(sound[start : start + whole], folder / f"{start}.wav") for start in starts]


def write(samples: np.ndarray, path: Path) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.timeout(3600)
def test_an_hour_takes_little_more_memory_than_the_same_in_files_of_ten_minutes(
    root: Path, kit: Path, tmp_path: Path
) -> None:
    # The same sound in both, as it is chance when the two largest batches meet: in ten minutes they often do not.
    hour = kit / "tts" / "long_60min.opus"
    pieces = in_pieces(hour, tmp_path, length_s=600)
    assert len(pieces) >= 6
    short = peak_mb(root, pieces, tmp_path / "short.json")
    long = peak_mb(root, [hour], tmp_path / "long.json")
    assert long <= 1.1 * short
    assert long < 800


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.timeout(1800)
def test_word_times_by_ctc_take_little_more_memory_than_by_letters(
    root: Path, kit: Path, ctc_tiny_en_folder: Path, tmp_path: Path
) -> None:
    ten_minutes = [kit / "tts" / "long_10min.flac"]
    letters = peak_mb(root, ten_minutes, tmp_path / "letters.json")
    engine, models = "ours:aligner=ctc+language=en", f"en={ctc_tiny_en_folder}"
    by_ctc = peak_mb(root, ten_minutes, tmp_path / "ctc.json", engine, AUTORAG_WHISPER_ALIGN_MODELS=models)
    assert by_ctc < letters + 200

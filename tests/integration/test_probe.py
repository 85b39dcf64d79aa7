"""Whether a file is media, told by its content alone."""

from __future__ import annotations

import random
import sys
import sysconfig
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from autorag_whisper.audio.probe import holds_audio

CONTAINERS = [
    ("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame"), ("ogg", "libopus"), ("mp4", "aac"), ("adts", "aac"),
    ("matroska", "libopus"), ("mpegts", "mp2"), ("aiff", "pcm_s16be"), ("ac3", "ac3"),
]  # fmt: skip


def write(path: Path, container: str, codec: str) -> None:
    """Two seconds of a tone."""
    rate = 48_000
    tone = (np.sin(np.arange(2 * rate) * 0.05) * 9_000).astype(np.int16)[None]
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)


@pytest.mark.parametrize(("container", "codec"), CONTAINERS)
def test_audio_is_known_without_an_ending(container: str, codec: str, tmp_path: Path) -> None:
    write(tmp_path / "recording", container, codec)
    assert holds_audio(tmp_path / "recording")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"hello world\n" * 100,
        "gr\u00fc\u00dfe ".encode() * 900,
        b"\0" * 5000,
        b"%PDF-1.7\n\xff\xfb\x90\0" * 99,
        b"#EXTM3U\nhttp://127.0.0.1/a.mp3\n",
        b"RIFF\x10\0\0\0WEBPVP8 \0\0\0\0",
        b"PK\x03\x04" + bytes(5000),
    ],
    ids=range(9),
)
def test_what_is_no_audio_is_known_too(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert not holds_audio(tmp_path / "file")


def test_pictures_without_sound_are_no_audio(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "film"), "w", format="matroska") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(20):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            for packet in stream.encode(picture):
                out.mux(packet)
    assert not holds_audio(tmp_path / "film")


def test_neither_noise_nor_the_files_of_a_python_are_taken_for_audio(tmp_path: Path) -> None:
    rng = random.Random(7)
    for size in (100, 5_000, 200_000) * 10:
        (tmp_path / "noise").write_bytes(rng.randbytes(size))
        assert not holds_audio(tmp_path / "noise")
    others = [path for path in Path(sysconfig.get_path("stdlib")).rglob("*.pyc") if path.is_file()][:100]
    others += [Path(sys.executable)]
    assert [path for path in others if holds_audio(path)] == []


def test_what_cannot_be_opened_is_no_audio(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert not any(holds_audio(tmp_path / name) for name in ("fifo", "dangling", "gone", "nul\0", "."))


def test_a_recording_is_still_known_where_it_is_cut_off(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "whole.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(bytes(64_000))
    (tmp_path / "cut").write_bytes((tmp_path / "whole.wav").read_bytes()[:20_000])
    assert holds_audio(tmp_path / "cut")

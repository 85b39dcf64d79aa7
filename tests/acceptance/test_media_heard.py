"""The kit's clips under headers that lie, in formats without a header and with a voice turned: the same words."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.notes import NoteKind
from autorag_whisper.domain.request import TranscribeOptions
from pcm_files import RATE, floats, integers, rf64, wav

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.transcriber import Transcriber

pytestmark = [pytest.mark.slow, pytest.mark.kit]


@pytest.fixture(scope="module")
def transcriber() -> Iterator[Transcriber]:
    with build_transcriber() as made:
        yield made


def clip(kit: Path, name: str) -> np.ndarray:
    """float64[n, 1] at 16 kHz."""
    place = kit / name
    with place.open("rb") as file, MediaDecoder(file, place.name) as decoder:
        return np.concatenate(list(decoder)).astype(np.float64)[:, None]


def hear(transcriber: Transcriber, data: bytes, name: str = "talk.wav") -> tuple[str, Transcript]:
    """The words in lower case, and all of it."""
    source = MediaSource(name, file=io.BytesIO(data))
    result = transcriber.transcribe(source, TranscribeOptions(language="en"), model="base")
    return " ".join(re.findall(r"[\w']+", result.text.lower())), result


UNTOLD = {
    "24 bits in 32": lambda s: wav(integers(s, 4, 24).but(valid=24)),
    "16 bits in 32": lambda s: wav(integers(s, 4, 16).but(valid=16)),
    "16 bits in 24": lambda s: wav(integers(s, 3, 16).but(valid=16)),
    "32 bits in 32": lambda s: wav(integers(s, 4).but(valid=32)),
    "streamed RF64": lambda s: rf64(integers(s, 2), size=0),
    "behind an ID3 tag": lambda s: b"ID3\3\0\0\0\0\x0f\x76" + bytes(2038) + wav(integers(s, 2)),
}
TOLD = {
    "16 bits low in 32": (NoteKind.HEADER_CORRECTED, lambda s: wav(integers(s, 4, 16, right=True).but(valid=16))),
    "floats said to be integers": (NoteKind.HEADER_CORRECTED, lambda s: wav(floats(s).but(tag=1))),
    "floats of 16 bits": (NoteKind.OUT_OF_SCALE, lambda s: wav(floats(np.round(s * 32767)))),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_a_header_that_ffmpeg_misreads_costs_no_word(transcriber: Transcriber, kit: Path, name: str) -> None:
    heard, result = hear(transcriber, UNTOLD[name](clip(kit, "tts/short03.flac")))
    assert heard == "stop right there"
    assert not result.notes
    assert not result.damage


@pytest.mark.parametrize("name", TOLD)
def test_a_header_that_lies_costs_no_word_and_is_told(transcriber: Transcriber, kit: Path, name: str) -> None:
    kind, write = TOLD[name]
    heard, result = hear(transcriber, write(clip(kit, "tts/short03.flac")))
    assert heard == "stop right there"
    assert [note.kind for note in result.notes] == [kind]


def raw(sound: np.ndarray, muxer: str, codec: str, rate: int, bits_a_second: int) -> bytes:
    """`sound` encoded without a header."""
    frame = av.AudioFrame.from_ndarray((sound.T * 32767).astype(np.int16), "s16", "mono")
    frame.sample_rate, out = RATE, io.BytesIO()
    with av.open(out, "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = bits_a_second
        resampler = av.AudioResampler(stream.format.name, "mono", rate, frame_size=stream.codec_context.frame_size)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize(
    ("suffix", "muxer", "codec", "rate", "bits_a_second"),
    [
        ("g722", "g722", "g722", RATE, 64_000), ("g723_1", "g723_1", "g723_1", 8_000, 6_300),
        ("g726", "g726", "g726", 8_000, 32_000), ("ulaw", "mulaw", "pcm_mulaw", 8_000, 64_000),
        ("sf", "ircam", "pcm_s16le", RATE, 256_000),
    ],
)  # fmt: skip
def test_telephone_formats_are_understood(
    transcriber: Transcriber, kit: Path, suffix: str, muxer: str, codec: str, rate: int, bits_a_second: int
) -> None:
    sound = clip(kit, "tts/pause01.flac")
    plain, _ = hear(transcriber, wav(integers(sound, 2)))
    heard, _ = hear(transcriber, raw(sound, muxer, codec, rate, bits_a_second), f"talk.{suffix}")
    same = set(plain.split()) & set(heard.split())
    assert len(same) >= 0.8 * len(set(plain.split()))


@pytest.mark.parametrize("snr_db", [30, 12, 5, 1])
def test_a_voice_that_is_turned_on_one_channel_loses_no_word(transcriber: Transcriber, kit: Path, snr_db: int) -> None:
    """The last words were lost at 12 dB, half a sentence at 5 dB, all of it at 1 dB."""
    clean = clip(kit, "real/lj_LJ001-0013.flac")[:, 0] * 0.7
    noise = np.random.default_rng(0).standard_normal((2, len(clean)))
    noise *= np.sqrt((clean**2).mean() / 10 ** (snr_db / 10)) / noise.std(axis=1, keepdims=True)
    channels = np.clip(np.stack((clean, -clean)) + noise, -1, 1)
    alone, _ = hear(transcriber, wav(integers(channels[:1].T, 2)))
    both, _ = hear(transcriber, wav(integers(channels.T, 2)))
    said = {"than", "in", "the", "same", "operations", "with", "ugly", "ones"}
    assert "same operations with" in both
    assert len(said & set(both.split())) >= len(said & set(alone.split()))

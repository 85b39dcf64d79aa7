"""Media files that tests make themselves: a tone for each stretch, so that what is heard says what was decoded."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.source import MediaSource

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.domain.audio import MediaDamage
    from autorag_whisper.domain.notes import Note

RATE = 16_000

Track = tuple[float, float, float]
"""An audio stream: where it starts, its length, both in seconds, and its tone in hertz."""


def tone(seconds: float, hertz: float, rate: int = RATE) -> np.ndarray:
    """float32[n] at half of full scale."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write(
    place: Path,
    tracks: list[Track],
    *,
    codec: str,
    rate: int = RATE,
    layout: str = "mono",
    file_format: str | None = None,
    picture_s: float = 0.0,
    picture_codec: str = "mpeg4",
    languages: list[str] | None = None,
    **options: str,
) -> Path:
    """A file with an audio stream for each track, interleaved, and a picture track if wanted."""
    with av.open(str(place), "w", format=file_format, options=options) as out:
        if picture_s:
            video = out.add_stream(picture_codec, rate=25)
            video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        streams = [out.add_stream(codec, rate=rate, layout=layout) for _ in tracks]
        for stream, language in zip(streams, languages or (), strict=False):
            stream.metadata["language"] = language
        packets = [packet for s, track in zip(streams, tracks, strict=True) for packet in _encoded(s, *track, rate)]
        if picture_s:
            packets += _pictures(video, picture_s)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)
    return place


def _encoded(stream: av.AudioStream, start_s: float, seconds: float, hertz: float, rate: int) -> list[av.Packet]:
    stream.codec_context.bit_rate = 64_000
    stream.codec_context.options = {"strict": "experimental"}  # FFmpeg's own Vorbis encoder, of two channels
    stream.codec_context.open()
    samples = tone(seconds, hertz, rate)
    layout = stream.layout.name
    channels = np.repeat(samples[None], len(stream.layout.channels), axis=0)
    size = stream.codec_context.frame_size or 1024
    convert = av.AudioResampler(stream.format.name, layout, rate)
    packets = []
    for at in range(0, len(samples), size):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels[:, at : at + size]), "fltp", layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), at
        for piece in convert.resample(frame):
            piece.pts, piece.time_base = round(start_s * rate) + at, Fraction(1, rate)
            packets += stream.encode(piece)
    return [packet for packet in packets + stream.encode(None) if packet.size]


def _pictures(stream: av.VideoStream, seconds: float) -> list[av.Packet]:
    packets = []
    for number in range(round(seconds * 25)):
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number % 256, np.uint8), "rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def decode(place: Path, **options: object) -> tuple[np.ndarray, MediaDamage, tuple[Note, ...]]:
    """All samples, what was lost, what is said."""
    with MediaSource.from_path(place).open() as file, MediaDecoder(file, place.name, **options) as decoder:  # type: ignore[arg-type]  # what a test gives
        samples = np.concatenate(list(decoder))
        return samples, decoder.damage, decoder.notes


def heard(samples: np.ndarray, step_s: float = 0.5) -> list[int]:
    """The tone of each stretch of half a second, to the nearest 100 Hz, 0 for silence; what is left over is dropped."""
    size = round(step_s * RATE)
    found = []
    for at in range(0, len(samples) - size + 1, size):
        part = samples[at : at + size]
        loud = float(np.abs(part).max()) > 0.02
        found.append(int(round(float(np.argmax(np.abs(np.fft.rfft(part)))) / step_s, -2)) if loud else 0)
    return found


def g723_1(sample: Path) -> bytes:
    """The sound of a file as frames of G.723.1, 6.3 kbit/s."""
    encoder = av.CodecContext.create("g723_1", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 8000, "mono", "s16", 6300
    resampler = av.AudioResampler("s16", "mono", 8000, frame_size=240)
    with av.open(str(sample)) as container:
        frames = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    whole = [frame for frame in [*frames, *resampler.resample(None)] if frame.samples == 240]
    return b"".join(bytes(packet) for frame in [*whole, None] for packet in encoder.encode(frame))


def dictation(frames: bytes) -> bytes:
    """DSS of the low rate: frames of G.723.1 in blocks of 512 bytes, each with 6 bytes of its own."""
    size = 512 - 6
    blocks = [frames[at : at + size] for at in range(0, len(frames), size)]
    header = bytearray(2 * 512)
    header[:4] = b"\x02dss"
    header[12:28] = b"AUTHOR          "
    header[38:50], header[50:62] = b"260101120000", b"260101120010"
    header[0x2A4] = 2  # the codec: G.723.1
    return bytes(header) + b"".join(bytes((0, 0, 21, 0, 0xFF, 0xFF)) + block.ljust(size, b"\0") for block in blocks)

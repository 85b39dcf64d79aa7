"""Speech-like sound in every container and codec that FFmpeg's libraries here can write."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from pcm_files import RATE, voice

# suffix -> (FFmpeg's muxer, encoder, rate, channels)
WRITTEN = {
    "aac": ("adts", "aac", RATE, 1),
    "ac3": ("ac3", "ac3", 48_000, 1),
    "aiff": ("aiff", "pcm_s24be", RATE, 1),
    "alaw": ("alaw", "pcm_alaw", 8_000, 1),
    "aptx": ("aptx", "aptx", 48_000, 2),
    "aptxhd": ("aptx_hd", "aptx_hd", 48_000, 2),
    "asf": ("asf", "wmav2", RATE, 1),
    "au": ("au", "pcm_alaw", RATE, 1),
    "avi": ("avi", "pcm_s16le", RATE, 1),
    "caf": ("caf", "adpcm_ima_qt", RATE, 1),
    "eac3": ("eac3", "eac3", 48_000, 1),
    "flac": ("flac", "flac", RATE, 1),
    "flv": ("flv", "aac", RATE, 1),
    "g722": ("g722", "g722", RATE, 1),
    "g723_1": ("g723_1", "g723_1", 8_000, 1),
    "g726": ("g726", "g726", 8_000, 1),
    "g726le": ("g726le", "g726le", 8_000, 1),
    "latm": ("latm", "aac", RATE, 1),
    "m4a": ("ipod", "alac", RATE, 1),
    "mka": ("matroska", "pcm_f64le", RATE, 1),
    "mov": ("mov", "pcm_s24be", RATE, 1),
    "mp2": ("mp2", "mp2", RATE, 1),
    "mpg": ("vob", "mp2", 48_000, 1),
    "mxf": ("mxf_opatom", "pcm_s16le", 48_000, 1),
    "nut": ("nut", "pcm_s16le", RATE, 1),
    "oga": ("oga", "flac", RATE, 1),
    "sbc": ("sbc", "sbc", RATE, 1),
    "sf": ("ircam", "pcm_s16le", RATE, 1),
    "sln": ("s16le", "pcm_s16le", 8_000, 1),
    "sln16": ("s16le", "pcm_s16le", RATE, 1),
    "sox": ("sox", "pcm_s32le", RATE, 1),
    "spdif": ("spdif", "ac3", 48_000, 2),
    "ts": ("mpegts", "mp2", 48_000, 2),
    "mp3": ("mp3", "mp3", RATE, 1),
    "tta": ("tta", "tta", RATE, 1),
    "ulaw": ("mulaw", "pcm_mulaw", 8_000, 1),
    "voc": ("voc", "pcm_alaw", RATE, 1),
    "w64": ("w64", "pcm_f32le", RATE, 1),
    "wtv": ("wtv", "mp2", RATE, 1),
    "wv": ("wv", "wavpack", RATE, 1),
    **{
        f"{codec}.wav": ("wav", codec, rate, 1)
        for codec, rate in {
            "adpcm_ms": RATE, "adpcm_ima_wav": RATE, "adpcm_yamaha": RATE, "g723_1": 8_000,
            "g726": 8_000, "pcm_alaw": RATE, "pcm_mulaw": RATE, "ac3": 48_000,
        }.items()
    },
}  # fmt: skip


def spoken(seconds: float = 4.0) -> np.ndarray:
    return voice(seconds, seed=3)[:, 0]


def write(suffix: str) -> bytes:
    """`spoken` in the format of `suffix`; skips the test where FFmpeg's libraries here cannot write it."""
    muxer, encoder, rate, channels = WRITTEN[suffix]
    if encoder not in av.codecs_available or muxer not in av.formats_available:
        pytest.skip(f"{muxer} or {encoder} is not here")
    layout = "mono" if channels == 1 else "stereo"
    sound = (spoken() * 32767).astype(np.int16)
    source = av.AudioFrame.from_ndarray(sound[None], "s16", "mono")
    source.sample_rate, source.pts, source.time_base = RATE, 0, Fraction(1, RATE)
    out = io.BytesIO()
    try:
        with av.open(out, "w", format=muxer) as container:
            stream = container.add_stream(encoder, rate=rate, layout=layout, options={"strict": "-2"})
            if encoder == "g723_1":
                stream.bit_rate = 6_300
            if encoder == "sbc":
                stream.bit_rate = 128_000
            if encoder.startswith(("g726", "wma")):
                stream.bit_rate = 32_000
            resampler = av.AudioResampler(stream.format.name, layout, rate, frame_size=stream.codec_context.frame_size)
            for frame in [*resampler.resample(source), *resampler.resample(None)]:
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError, OverflowError) as error:
        pytest.skip(f"{muxer} of {encoder} cannot be written here: {error}")
    return out.getvalue()

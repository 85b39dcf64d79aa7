"""Audio that is no path: bytes, file objects, arrays and tensors. Each is read as the file that holds the same."""

from __future__ import annotations

import array
import gzip
import io
import mmap
import os
import socket
import struct
import tempfile
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.audio import container, memory
from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.errors import (
    InvalidOption,
    MediaDamaged,
    MediaEmpty,
    MediaNotFound,
    MediaNotRecognised,
    MediaUnreadable,
)
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.testing import speech_samples, write_speech
from run_world import World

if TYPE_CHECKING:
    from pathlib import Path

RATE = 16_000


def decoded(media: Any) -> np.ndarray:
    """All samples of it."""
    source = MediaSource.of(media)
    with source.open() as file, MediaDecoder(file, source.name) as decoder:
        return np.concatenate(list(decoder))


def words(media: Any) -> str:
    """What the fake engine, which counts beeps, makes of it."""
    return World().transcriber.transcribe(media).text


def wav(path: Path, samples: np.ndarray, rate: int) -> Path:
    """[samples, channels] in a WAV of the same type, written by hand from the format's description."""
    tag = {"i": 1, "u": 1, "f": 3}[samples.dtype.kind]
    width, channels = samples.dtype.itemsize, samples.shape[1]
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * channels * width, channels * width, 8 * width)
    data = samples.tobytes()
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    return write_speech(tmp_path / "speech.wav", speech_samples(3))


class OnceOnly(io.RawIOBase):
    """A stream that cannot be rewound and gives few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 1000) if size >= 0 else -1)


class Tensor:
    """As a tensor of PyTorch's that has a gradient and lies on a card: no array until it is asked to come here."""

    def __init__(self, values: np.ndarray, *, attached: bool = True, away: bool = True) -> None:
        self._values, self._attached, self._away = values, attached, away

    def detach(self) -> Tensor:
        return Tensor(self._values, attached=False, away=self._away)

    def cpu(self) -> Tensor:
        return Tensor(self._values, attached=self._attached, away=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self._attached:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if self._away:
            raise TypeError("can't convert cuda:0 device type tensor to numpy.")
        return self._values


# ------------------------------------------------------------ bytes and file objects


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: memoryview(data + data)[: len(data)]])
def test_bytes_of_a_media_file_are_heard_as_the_file_is(speech: Path, kind: Any) -> None:
    assert words(kind(speech.read_bytes())) == words(speech) == "one two three"


def test_a_view_with_holes_is_read_as_the_bytes_that_it_shows(speech: Path) -> None:
    doubled = bytearray(2 * speech.stat().st_size)
    doubled[::2] = speech.read_bytes()
    assert words(memoryview(doubled)[::2]) == "one two three"


def test_file_objects_of_every_make_are_heard_as_the_file_is(speech: Path, tmp_path: Path) -> None:
    data = speech.read_bytes()
    packed = tmp_path / "speech.wav.gz"
    packed.write_bytes(gzip.compress(data))
    with (
        speech.open("rb") as plain,
        speech.open("rb", buffering=0) as raw,
        gzip.open(packed) as unpacked,
        speech.open("rb") as other,
        mmap.mmap(other.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        tempfile.SpooledTemporaryFile() as spooled,
        tempfile.NamedTemporaryFile() as named,
    ):
        for file in (spooled, named):
            file.write(data)  # and left at its end, as uploads are
        for file in (plain, raw, unpacked, mapped, spooled, named, io.BytesIO(data), OnceOnly(data)):
            assert words(file) == "one two three"


def test_a_file_object_is_left_open_and_where_it_stood(speech: Path) -> None:
    with speech.open("rb") as file:
        file.seek(77)
        assert words(file) == words(file) == "one two three"
        assert file.tell() == 77


def test_a_file_object_that_is_stopped_early_is_left_open_and_where_it_stood(tmp_path: Path) -> None:
    with write_speech(tmp_path / "long.wav", speech_samples(200)).open("rb") as file:
        file.seek(5)
        with World().transcriber.stream(file) as stream:
            next(stream)
        assert file.tell() == 5


def test_a_pipe_and_a_socket_are_read_to_their_end(speech: Path) -> None:
    data = speech.read_bytes()
    theirs, ours = socket.socketpair()
    with theirs, ours:
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        with theirs.makefile("rb") as file:
            assert words(file) == "one two three"
            assert not file.closed
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as out, os.fdopen(reading, "rb") as file:
        os.set_blocking(writing, True)
        out.write(data[:40_000])  # a pipe holds no more
        out.close()
        assert words(file) == "one"


def test_results_and_errors_of_what_has_no_name_say_audio(speech: Path) -> None:
    transcriber = World().transcriber
    data = speech.read_bytes()
    assert transcriber.transcribe(data).name == "audio"
    assert transcriber.transcribe(io.BytesIO(data)).name == "audio"
    assert transcriber.transcribe(MediaSource.from_bytes(data, name="voice\nmail")).name == "voice\ufffdmail"
    with speech.open("rb") as file:
        assert transcriber.transcribe(file).name == "speech.wav"
    with tempfile.TemporaryFile() as file:  # its name is a number
        file.write(data)
        assert transcriber.transcribe(file).name == "audio"


class Failing(io.BytesIO):
    """A file object of somebody else's, with his own exceptions."""

    def read(self, size: int | None = -1) -> bytes:
        raise KeyError("the bucket has gone")


def test_what_is_no_media_is_refused_with_a_typed_error(speech: Path, tmp_path: Path) -> None:
    closed = io.BytesIO(b"x")
    closed.close()
    text = tmp_path / "text.txt"
    text.write_text("hello")
    with text.open() as as_text:
        for media, error in (
            (b"", MediaEmpty),
            (io.BytesIO(), MediaEmpty),
            (OnceOnly(b""), MediaEmpty),
            (b"no media at all, but text", MediaNotRecognised),
            (closed, MediaUnreadable),
            (as_text, MediaUnreadable),
            (io.StringIO("text"), MediaUnreadable),
            (Failing(b"x" * 100), MediaUnreadable),
            (None, InvalidOption),
            (17, InvalidOption),
            ([0.0, 0.1], InvalidOption),
            (array.array("f", [0.0]), InvalidOption),
            (os.fsencode(speech), MediaNotRecognised),
        ):
            with pytest.raises(error) as raised:
                World().transcriber.transcribe(media)
            assert str(raised.value).endswith(".")


def test_of_many_what_cannot_be_heard_fails_alone(speech: Path) -> None:
    data = speech.read_bytes()
    bad = [None, np.zeros((2, 3, 4)), np.zeros(0), np.full(100, np.nan), b"", Failing(b"x"), "missing.wav"]
    many = [data, *bad, io.BytesIO(data), speech_samples(3), speech]
    outcomes = list(World().transcriber.transcribe_many(many))
    assert sorted(outcome.transcript.text for outcome in outcomes if outcome.transcript) == ["one two three"] * 4
    expected = [InvalidOption, InvalidOption, MediaDamaged, MediaEmpty, MediaEmpty, MediaNotFound, MediaUnreadable]
    failed = [type(outcome.error).__name__ for outcome in outcomes if outcome.error]
    assert sorted(failed) == sorted(kind.__name__ for kind in expected)


def test_a_source_comes_back_with_its_outcome() -> None:
    sources = [MediaSource.from_samples(speech_samples(n), name=str(n)) for n in (1, 2, 3)]
    found = {o.source: o.transcript.text for o in World().transcriber.transcribe_many(sources) if o.transcript}
    assert found == dict(zip(sources, ["one", "one two", "one two three"], strict=True))


# ------------------------------------------------------------ arrays


TYPES = {"float32": 1.0, "float64": 1.0, "int16": 32767, "int32": 2**31 - 1}


@given(
    st.sampled_from(sorted(TYPES)), st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000, 96_000]),
    st.integers(1, 6), st.integers(100, 30_000), st.booleans(), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_an_array_is_decoded_as_the_wav_that_holds_it(
    tmp_path_factory: pytest.TempPathFactory, dtype: str, rate: int, channels: int, length: int, across: bool, seed: int
) -> None:
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (length, channels)) * TYPES[dtype]
    samples = noise.astype(dtype)
    path = wav(tmp_path_factory.mktemp("wav") / "a.wav", samples, rate)
    given = np.ascontiguousarray(samples.T) if across else samples
    kept = given.copy()
    given.flags.writeable = False
    assert np.array_equal(decoded(MediaSource.from_samples(given, rate)), decoded(path))
    assert np.array_equal(given, kept)


@pytest.mark.parametrize("dtype", ["uint8", "float16", ">f4", ">i2", ">f8"])
def test_other_types_of_samples_mean_the_same_sound(dtype: str) -> None:
    sound = 0.5 * np.sin(np.arange(20_000) / 20)
    scaled = {"uint8": sound * 127 + 128, ">i2": sound * 32767}.get(dtype, sound)
    assert np.abs(decoded(scaled.astype(dtype)) - sound).max() < (0.02 if dtype == "uint8" else 0.001)


def test_what_is_not_contiguous_is_heard_as_it_reads() -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, 8_000).astype(np.float32)
    assert np.array_equal(decoded(np.repeat(samples, 3)[::3]), samples)
    assert np.array_equal(decoded(samples[::-1]), samples[::-1])
    assert np.array_equal(decoded(samples.reshape(-1, 1)), samples)
    assert np.array_equal(decoded(samples.reshape(1, -1)), samples)


def test_tensors_are_heard_without_their_library() -> None:
    samples = speech_samples(2)
    assert words(Tensor(samples)) == words(Tensor(samples[None, :])) == words(samples) == "one two"


@pytest.mark.parametrize(
    ("samples", "options"),
    [
        (np.zeros((4, 4, 4), np.float32), {}),
        (np.float32(0.5), {}),
        (np.zeros((300, 300), np.float32), {}),
        (np.zeros((100, 500), np.float32), {}),
        (np.zeros((0, 100), np.float32), {}),
        (np.zeros(100, np.int64), {}),
        (np.zeros(100, np.uint16), {}),
        (np.zeros(100, bool), {}),
        (np.zeros(100, complex), {}),
        (np.array(["a", "b"]), {}),
        (np.array([None]), {}),
        (np.zeros(100, np.float32), {"sample_rate_hz": 0}),
        (np.zeros(100, np.float32), {"sample_rate_hz": -16_000}),
        (np.zeros(100, np.float32), {"sample_rate_hz": 16_000.5}),
        (np.zeros(100, np.float32), {"sample_rate_hz": float("nan")}),
        (np.zeros(100, np.float32), {"sample_rate_hz": None}),
        (np.zeros(100, np.float32), {"sample_rate_hz": 10**9}),
        (np.zeros((2, 100), np.float32), {"channel_axis": 2}),
    ],
)
def test_what_is_no_array_of_samples_is_refused_at_once(samples: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        MediaSource.from_samples(samples, **options)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 99_999, 2_500_000])
def test_samples_that_are_no_numbers_are_refused_and_the_first_is_named(bad: float, at: int) -> None:
    samples = np.zeros(3_000_000, np.float32)
    samples[at] = bad
    with pytest.raises(MediaDamaged, match=rf"sample {at} of the array"):
        World().transcriber.transcribe(samples)


@pytest.mark.parametrize("shape", [0, (0, 1), (0, 2)])
def test_no_sample_is_no_audio(shape: Any) -> None:
    with pytest.raises(MediaEmpty):
        World().transcriber.transcribe(MediaSource.from_samples(np.zeros(shape, np.float32), channel_axis=1))


def test_where_both_sides_are_equally_long_the_caller_says_which_counts_channels() -> None:
    two = np.array([[0.0, 0.25], [0.5, 0.75]], np.float32)
    assert np.allclose(decoded(MediaSource.from_samples(two, channel_axis=1)), two.mean(axis=1))
    assert np.allclose(decoded(MediaSource.from_samples(two, channel_axis=0)), two.mean(axis=0))


def test_more_than_a_wav_can_count_is_a_wav_with_long_counts() -> None:
    # 4.3 GB that take no memory: one frame, shown again and again.
    frames = np.broadcast_to(np.float32(0.25), (70_000_000, 16))
    file = io.BufferedReader(memory._SamplesFile(memory.HeldSamples(frames, 48_000)))
    assert file.seek(0, os.SEEK_END) == 80 + frames.size * 4
    file.seek(0)
    with av.open(file) as opened:
        assert opened.format.name == "wav"
        assert opened.streams.audio[0].duration == len(frames)


def test_the_rates_of_arrays_are_those_of_files() -> None:
    assert (memory.MIN_RATE_HZ, memory.MAX_RATE_HZ) == (container.MIN_RATE_HZ, container.MAX_RATE_HZ)


# ------------------------------------------------------------ the real engine


def test_the_words_of_an_array_are_those_of_its_wav(demo_sample: Path, tmp_path: Path) -> None:
    with av.open(str(demo_sample)) as opened:
        rate = opened.streams.audio[0].rate
        resampler = av.AudioResampler("flt", "mono", 48_000)
        frames = [piece for frame in opened.decode(audio=0) for piece in resampler.resample(frame)]
    assert rate
    samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
    stereo = np.stack([samples, 0.5 * samples], axis=1).astype(np.float32)
    path = wav(tmp_path / "demo.wav", stereo, 48_000)
    options = TranscribeOptions(language="en", quality="fast")
    with build_transcriber() as transcriber:
        media = [
            path,
            MediaSource.from_samples(stereo, 48_000),
            path.read_bytes(),
            MediaSource.from_samples(stereo.T, 48_000.0),
        ]
        found = [transcriber.transcribe(one, options, model="tiny.en").words for one in media]
    assert len(found[0]) > 10
    assert all(one == found[0] for one in found)

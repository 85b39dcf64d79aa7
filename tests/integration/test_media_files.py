"""Media as it comes: sound, damaged, hostile. Made here; the kit's files against a plain whole decode."""

from __future__ import annotations

import io
import os
import socket
import tempfile
import wave
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import (
    AudioStreamNotFound,
    MediaEmpty,
    MediaError,
    MediaNotRecognised,
    MediaTooLong,
    MediaUnreadable,
    NoAudioStream,
)
from examples import examples
from kit import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autorag_whisper.domain.audio import MediaDamage

RATE = 16_000


def decode(path: Path, **options: object) -> tuple[np.ndarray, MediaDamage]:
    """All samples, and what was lost. Every block is checked on its way."""
    with MediaSource.from_path(path).open() as file, MediaDecoder(file, path.name, **options) as decoder:  # type: ignore[arg-type]  # what a test gives
        blocks = []
        for block in decoder:
            assert block.dtype == np.float32
            assert 0 < len(block) <= 2 * RATE
            assert np.isfinite(block).all()
            assert np.abs(block).max(initial=0) <= 1
            blocks.append(block)
        samples = np.concatenate(blocks)
        assert decoder.samples_out == len(samples)
        return samples, decoder.damage


def tone(seconds: float, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    """float32[n] at half of full scale."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encode(
    place: Path, channels: np.ndarray, rate: int = RATE, codec: str = "pcm_f32le", skip: range = range(0)
) -> Path:
    """float32[channels, n] as a file by its suffix; packets whose number is in `skip` are lost on the way."""
    with av.open(str(place), "w") as out:
        layout = {1: "mono", 2: "stereo"}[len(channels)]
        stream = out.add_stream(codec, rate=rate, layout=layout)
        number = 0
        for start in range(0, channels.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels[:, start : start + 1024]), "fltp", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            for piece in av.AudioResampler(stream.format.name, layout, rate).resample(frame):
                piece.pts = start
                for packet in stream.encode(piece):
                    if number not in skip:
                        out.mux(packet)
                    number += 1
        out.mux(stream.encode(None))
    return place


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Four seconds of a tone in several containers."""
    folder, wanted = (
        tmp_path_factory.mktemp("sound"),
        {"wav": "pcm_s16le", "flac": "flac", "mka": "pcm_s16le", "ogg": "flac"},
    )
    return {
        suffix: encode(folder / f"a.{suffix}", tone(4.0)[None], codec=codec).read_bytes()
        for suffix, codec in wanted.items()
    }


@pytest.mark.parametrize(
    "codec", ["pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_u8", "pcm_f32le", "pcm_f64le", "adpcm_ms", "mp3"]
)
def test_a_wave_file_is_known_by_its_header_whatever_it_holds(tmp_path: Path, codec: str) -> None:
    """FFmpeg is kept from reading seconds of it first to find out what it is."""
    signal = np.concatenate((tone(3.0), np.zeros(RATE // 2, np.float32), tone(3.0)))
    if codec == "adpcm_ms":  # its encoder takes whole blocks alone
        signal = signal[: len(signal) // 1012 * 1012]
    samples, damage = decode(encode(tmp_path / "a.wav", signal[None], codec=codec))
    assert not damage
    assert abs(len(samples) - len(signal)) < 0.1 * RATE
    quiet = np.flatnonzero(np.abs(samples[RATE : 5 * RATE]) < 0.02)
    assert len(quiet) > 0.4 * RATE
    assert np.abs(samples).max() == pytest.approx(np.abs(signal).max(), abs=0.1)


@pytest.mark.kit
def test_sound_files_of_the_kit_decode_to_what_a_plain_whole_decode_gives(kit: Path) -> None:
    for clip in read_manifest(kit / "real")[::6]:
        with av.open(str(clip.path)) as container:
            resampler = av.AudioResampler("fltp", "mono", RATE)
            frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
            plain = np.concatenate([f.to_ndarray()[0] for f in [*frames, *resampler.resample(None)]])
        samples, damage = decode(clip.path)
        assert not damage, clip.path.name
        assert abs(len(samples) - len(plain)) < 0.15 * RATE, clip.path.name
        count = min(len(samples), len(plain))
        if count > RATE:
            # The same sound: a late start apart, which the plain decode does not show, and gains of the downmix.
            shift = len(samples) - len(plain)
            late = samples[max(0, shift) :][:count]
            together = max(
                np.corrcoef(a[:count], plain[:count])[0, 1] for a in (samples, np.pad(late, (0, count - len(late))))
            )
            assert together > 0.95, clip.path.name


def test_lost_packets_become_silence_and_later_sound_stays_where_it_was(tmp_path: Path) -> None:
    signal = np.zeros(6 * RATE, np.float32)
    signal[5 * RATE : 5 * RATE + 800] = tone(0.05)
    whole = encode(tmp_path / "whole.mka", signal[None], codec="pcm_s16le")
    holed = encode(tmp_path / "holed.mka", signal[None], codec="pcm_s16le", skip=range(20, 40))
    (a, sound_damage), (b, damage) = decode(whole), decode(holed)
    assert not sound_damage
    assert damage.gap_s == pytest.approx(20 * 1024 / RATE, abs=0.02)
    assert abs(int(np.argmax(np.abs(a) > 0.2)) - int(np.argmax(np.abs(b) > 0.2))) < 32
    assert abs(len(a) - len(b)) < 32


def test_a_hostile_jump_in_time_does_not_make_hours_of_silence(tmp_path: Path) -> None:
    place = tmp_path / "jump.mka"
    with av.open(str(place), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for pts in (0, RATE, 40 * 3600 * RATE, 40 * 3600 * RATE + RATE):
            frame = av.AudioFrame.from_ndarray((tone(1.0)[None] * 32767).astype(np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, pts, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    samples, _ = decode(place)
    assert 4 * RATE <= len(samples) <= 2 * 3600 * RATE


def test_speech_in_one_of_sixteen_channels_is_heard(tmp_path: Path) -> None:
    channels = np.zeros((3 * RATE, 16), "<i2")
    channels[:, 12] = tone(3.0) * 32767
    with wave.open(str(tmp_path / "many.wav"), "wb") as file:
        file.setparams((16, 2, RATE, 0, "NONE", ""))
        file.writeframes(channels.tobytes())
    samples, _ = decode(tmp_path / "many.wav")
    assert np.abs(samples[RATE:]).max() > 0.3


def test_a_stereo_pair_of_opposite_sign_does_not_cancel(tmp_path: Path) -> None:
    samples, _ = decode(encode(tmp_path / "opposed.wav", np.stack((tone(2.0), -tone(2.0))), codec="pcm_s16le"))
    assert np.abs(samples).max() > 0.3


def test_values_that_are_no_numbers_become_silence(tmp_path: Path) -> None:
    signal = tone(2.0)
    signal[8000:9000], signal[9000:9500] = np.nan, np.inf
    samples, _ = decode(encode(tmp_path / "nan.wav", signal[None]))
    assert len(samples) == 2 * RATE
    assert np.abs(samples[16_000:]).max() > 0.3


def test_a_rate_below_1_khz_is_refused_by_name(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "slow.wav"), "wb") as file:
        file.setparams((1, 2, 500, 0, "NONE", ""))
        file.writeframes(bytes(4000))
    with pytest.raises(MediaError, match=r"slow\.wav"):
        decode(tmp_path / "slow.wav")


def test_the_limit_counts_samples_not_what_a_header_says(tmp_path: Path) -> None:
    file = encode(tmp_path / "long.flac", np.zeros((1, 40 * RATE), np.float32), codec="flac")
    with pytest.raises(MediaTooLong):
        decode(file, max_duration_s=10)
    assert len(decode(file, max_duration_s=41)[0]) == 40 * RATE


def test_another_audio_stream_can_be_chosen_and_a_missing_one_is_said(tmp_path: Path) -> None:
    place = tmp_path / "two.mka"
    with av.open(str(place), "w") as out:
        streams = [out.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in range(2)]
        for stream, seconds in zip(streams, (1, 2), strict=True):
            frame = av.AudioFrame.from_ndarray((tone(seconds)[None] * 32767).astype(np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    assert len(decode(place)[0]) == pytest.approx(RATE, abs=200)
    assert len(decode(place, audio_stream=1)[0]) == pytest.approx(2 * RATE, abs=200)
    with pytest.raises(AudioStreamNotFound, match="no audio stream 2, only 2"):
        decode(place, audio_stream=2)


def test_pictures_alone_have_no_audio_and_that_is_said(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "mute.mkv"), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")))
        out.mux(stream.encode(None))
    with pytest.raises(NoAudioStream):
        decode(tmp_path / "mute.mkv")


ATTACKS = {
    "list.wav": "ffconcat version 1.0\nfile secret.wav\n",
    "list.m3u8": "#EXTM3U\n#EXTINF:1,\nsecret.wav\n#EXT-X-ENDLIST\n",
    "list.mp3": "#EXTM3U\n#EXTINF:1,\nfile:secret.wav\n#EXT-X-ENDLIST\n",
    "call.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9999 RTP/AVP 0\n",
    "feed.mpd": "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><BaseURL>secret.wav</BaseURL></MPD>",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_file_that_names_other_files_or_hosts_is_refused_and_nothing_is_opened(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode(tmp_path / "secret.wav", tone(1.0)[None], codec="pcm_s16le")
    (tmp_path / name).write_text(ATTACKS[name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket was opened"))
    with pytest.raises(MediaNotRecognised):
        decode(tmp_path / name)


def test_a_name_that_looks_like_an_address_is_only_a_name(tmp_path: Path) -> None:
    folder = tmp_path / "http:" / "host"
    folder.mkdir(parents=True)
    assert len(decode(encode(folder / "a:b.wav", tone(1.0)[None], codec="pcm_s16le"))[0]) == RATE


@pytest.mark.parametrize("suffix", ["wav", "flac", "mka", "ogg"])
def test_a_file_cut_off_anywhere_gives_what_is_left_or_says_why_not(
    sound: dict[str, bytes], suffix: str, tmp_path: Path
) -> None:
    data, lengths = sound[suffix], []
    for part in range(1, 20):
        place = tmp_path / f"cut.{suffix}"
        place.write_bytes(data[: len(data) * part // 20])
        try:
            samples, _ = decode(place)
        except MediaError:
            assert not lengths, "more of the file gave less of the audio"
        else:
            lengths.append(len(samples))
    assert lengths == sorted(lengths)
    assert lengths[-1] > 3 * RATE


@examples(60)
@given(
    suffix=st.sampled_from(["wav", "flac", "mka", "ogg"]),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), min_size=1, max_size=30),
)
def test_flipped_bits_never_give_anything_but_samples_or_a_media_error(
    sound: dict[str, bytes], suffix: str, flips: list[tuple[float, int]]
) -> None:
    data = bytearray(sound[suffix])
    for where, mask in flips:
        data[int(where * len(data))] ^= mask
    total = 0
    try:
        with MediaDecoder(io.BytesIO(bytes(data)), "flipped", max_duration_s=7200) as decoder:
            for block in decoder:
                assert np.isfinite(block).all()
                total += len(block)
    except MediaError:
        return
    assert total > 0


def test_stopping_in_the_middle_leaves_no_file_open(tmp_path: Path) -> None:
    place = encode(tmp_path / "a.flac", tone(30.0)[None], codec="flac")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with MediaSource.from_path(place).open() as file, MediaDecoder(file, "a.flac") as decoder:
            next(iter(decoder))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.fixture
def as_a_user() -> Iterator[None]:
    """Nothing is forbidden to root: what runs as root gives its rights up for the length of a test."""
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)
    yield
    if was_root:
        os.seteuid(0)


def test_what_this_user_may_not_read_is_said(request: pytest.FixtureRequest) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        unreadable, shut = Path(folder, "unreadable.wav"), Path(folder, "no_enter")
        shut.mkdir()
        for place in (unreadable, shut / "clip.wav"):
            encode(place, tone(1.0)[None], codec="pcm_s16le")
        unreadable.chmod(0)
        shut.chmod(0)
        request.getfixturevalue("as_a_user")
        for place in (unreadable, shut / "clip.wav"):
            with pytest.raises(MediaUnreadable, match="permission denied"):
                decode(place)
        if os.getuid() == 0:
            os.seteuid(0)
        shut.chmod(0o700)


def test_empty_folders_and_devices_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(MediaEmpty):
        decode(tmp_path / "empty.wav")
    for place in (tmp_path, Path("/dev/zero")):
        with pytest.raises(MediaUnreadable):
            decode(place)


@pytest.mark.timeout(60)
def test_gigabytes_of_nothing_behind_a_header_end_at_once(tmp_path: Path) -> None:
    """FFmpeg took every eight zeros for an empty chunk and walked through five gigabytes of them: minutes."""
    place = tmp_path / "sparse.wav"
    with place.open("wb") as file:
        file.write(
            b"RIFF\x06\xfe\x00\x00WAVEfmt "
            + (16).to_bytes(4, "little")
            + bytes.fromhex("01000100803e0000007d000002001000")
        )
        file.truncate(5 << 30)
    with pytest.raises(MediaError):
        decode(place)

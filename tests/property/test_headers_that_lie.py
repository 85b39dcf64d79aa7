"""The same sound under every header: fields that disagree change nothing, or the result says what was believed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.domain.errors import MediaError
from autorag_whisper.domain.notes import NoteKind
from examples import examples
from kit import read_manifest, unpack_nasty
from pcm_files import RATE, Pcm, aiff, au, caf, floats, integers, rf64, voice, w64, wav

if TYPE_CHECKING:
    from pathlib import Path

WRITERS = {"wav": wav, "rf64": rf64, "w64": w64}


def decode(data: bytes) -> tuple[np.ndarray, tuple[NoteKind, ...]]:
    """Samples, and the kinds of the notes."""
    with MediaDecoder(io.BytesIO(data), "sound") as decoder:
        samples = np.concatenate(list(decoder))
        assert not decoder.damage
        for note in decoder.notes:
            assert note.text
            assert "\n" not in note.text
        return samples, tuple(note.kind for note in decoder.notes)


def mono(sound: np.ndarray) -> np.ndarray:
    return np.asarray(sound.mean(axis=1), np.float32)


def same(samples: np.ndarray, sound: np.ndarray, bits: int) -> bool:
    return len(samples) == len(sound) and float(np.abs(samples - mono(sound)).max()) <= 2.0 ** (2 - bits) + 1e-6


pcm_shapes = st.tuples(st.sampled_from([2, 3, 4]), st.integers(8, 32)).filter(lambda shape: shape[1] <= shape[0] * 8)


@examples(120, deadline=None)
@given(
    shape=pcm_shapes,
    right=st.booleans(),
    channels=st.sampled_from([1, 2]),
    writer=st.sampled_from(sorted(WRITERS)),
    plain=st.booleans(),
    seed=st.integers(0, 50),
)
def test_fewer_valid_bits_than_the_container_give_the_same_sound(
    shape: tuple[int, int], right: bool, channels: int, writer: str, plain: bool, seed: int
) -> None:
    width, valid = shape
    sound = voice(channels=channels, seed=seed)
    pcm = integers(sound, width, valid, right=right)
    samples, notes = decode(WRITERS[writer](pcm.but(bits=valid) if plain else pcm.but(valid=valid)))
    assert same(samples, sound, valid), (np.abs(samples).max(), np.abs(mono(sound)).max())
    if not plain and not right:
        assert notes == ()  # as the format's description has it
    if right and valid < width * 8:
        assert NoteKind.HEADER_CORRECTED in notes


CONTRADICTIONS = {
    "a frame of twice the bits": lambda s: integers(s, 4).but(bits=16),
    "a frame of half the bits": lambda s: integers(s, 2).but(bits=32),
    "24 bits in 4 bytes": lambda s: integers(s, 4, 24).but(bits=24),
    "24 bits in 3 bytes, said 32": lambda s: integers(s, 3).but(bits=32, valid=24),
    "bytes a second of another width": lambda s: integers(s, 2).but(byte_rate=RATE * 4 * s.shape[1]),
    "block_align of one channel": lambda s: integers(s, 2).but(block=2),
    "floats said to be integers": lambda s: floats(s).but(tag=1),
    "floats said to be integers, extensible": lambda s: floats(s).but(tag=1, valid=32),
    "floats said to be 24 valid bits": lambda s: floats(s).but(tag=1, valid=24),
    "64-bit floats said to be integers": lambda s: floats(s, 8).but(tag=1),
    "integers said to be floats": lambda s: integers(s, 4).but(tag=3),
    "integers said to be floats, extensible": lambda s: integers(s, 4).but(tag=3, valid=32),
    "16-bit integers said to be floats": lambda s: integers(s, 2).but(tag=3),
    "24-bit integers said to be floats": lambda s: integers(s, 3).but(tag=3),
    "16-bit integers said to be 32-bit floats": lambda s: integers(s, 2).but(tag=3, bits=32),
    "no codec tag": lambda s: integers(s, 2).but(tag=0),
    "no codec tag, floats": lambda s: floats(s).but(tag=0),
    "no codec in the extension": lambda s: integers(s, 3).but(tag=0, valid=24),
    "a nonsensical block_align": lambda s: integers(s, 3).but(block=1 << 15),
}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("writer", sorted(WRITERS))
@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_fields_that_contradict_each_other_are_settled_by_the_samples_and_told(
    name: str, writer: str, channels: int
) -> None:
    sound = voice(channels=channels)
    pcm: Pcm = CONTRADICTIONS[name](sound)
    samples, notes = decode(WRITERS[writer](pcm))
    assert same(samples, sound, min(24, pcm.width * 8))
    if "block_align of one" not in name or channels > 1:
        assert NoteKind.HEADER_CORRECTED in notes


def test_stereo_that_says_it_is_mono_is_stereo() -> None:
    sound = voice(channels=2)
    samples, notes = decode(wav(integers(sound, 2).but(channels=1)))
    assert same(samples, sound, 16)
    assert notes == (NoteKind.HEADER_CORRECTED,)


def test_two_rates_are_told() -> None:
    _, notes = decode(wav(integers(voice(), 2).but(byte_rate=2 * 44_100)))
    assert notes == (NoteKind.HEADER_CORRECTED,)


@pytest.mark.parametrize("byte_rate", [1, 12_345])
def test_bytes_a_second_that_mean_nothing_alarm_nobody(byte_rate: int) -> None:
    sound = voice()
    samples, notes = decode(wav(integers(sound, 2).but(byte_rate=byte_rate)))
    assert same(samples, sound, 16)
    assert notes == ()


def test_what_the_samples_cannot_settle_is_told() -> None:
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, (RATE, 1))
    pcm = integers(noise, 3).but(bits=32, byte_rate=RATE * 4)
    with MediaDecoder(io.BytesIO(wav(pcm)), "noise") as decoder:
        for _ in decoder:
            pass
        assert "do not tell" in decoder.notes[0].text


SOUND_FILES = {
    "16": lambda s: wav(integers(s, 2)),
    "8": lambda s: wav(integers(s, 1)),
    "24": lambda s: wav(integers(s, 3)),
    "32": lambda s: wav(integers(s, 4)),
    "16 extensible": lambda s: wav(integers(s, 2).but(valid=16)),
    "24 extensible": lambda s: wav(integers(s, 3).but(valid=24)),
    "32 extensible": lambda s: wav(integers(s, 4).but(valid=32)),
    "20 in 24": lambda s: wav(integers(s, 3, 20).but(valid=20)),
    "float": lambda s: wav(floats(s)),
    "double": lambda s: wav(floats(s, 8)),
    "float extensible": lambda s: wav(floats(s).but(valid=32)),
    "rf64": lambda s: rf64(integers(s, 2)),
    "w64": lambda s: w64(integers(s, 3)),
    "aiff": lambda s: aiff(integers(s, 2, big=True)),
    "aiff float": lambda s: aiff(floats(s, big=True), kind=b"fl32"),
    "caf": lambda s: caf(integers(s, 3)),
    "au": lambda s: au(integers(s, 2, big=True), encoding=3),
    "au 32": lambda s: au(integers(s, 4, big=True), encoding=5),
    "au float": lambda s: au(floats(s, big=True), encoding=6),
    "caf float": lambda s: caf(floats(s)),
    "caf 24 in 32": lambda s: caf(integers(s, 4, 24).but(valid=24)),
}


@pytest.mark.parametrize("loudness", [1.0, 1e-3])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", SOUND_FILES)
def test_a_sound_file_has_no_note(name: str, channels: int, loudness: float) -> None:
    sound = voice(channels=channels) * loudness
    samples, notes = decode(SOUND_FILES[name](sound))
    assert same(samples, sound, 8 if name == "8" else 16)
    assert notes == ()


@pytest.mark.parametrize("kind", ["silence", "square", "noise", "offset"])
@pytest.mark.parametrize("write", [lambda s: wav(integers(s, 4)), lambda s: wav(floats(s))])
def test_sound_that_is_no_speech_is_believed_as_its_header_has_it(kind: str, write: object) -> None:
    n = np.arange(RATE)
    sound = {
        "silence": np.zeros(RATE),
        "square": np.where(n // 40 % 2, 0.5, -0.5),
        "noise": np.random.default_rng(1).uniform(-0.5, 0.5, RATE),
        "offset": 0.3 + 0.05 * np.sin(n / 9),
    }[kind][:, None]
    samples, notes = decode(write(sound))  # type: ignore[operator]  # one of two above
    assert same(samples, sound, 16)
    assert notes == ()


OTHER_CONTAINERS = {
    "aiff, frames of 4 bytes said 16 bits": lambda s: aiff(integers(s, 4, big=True).but(bits=16)),
    "aiff, floats said integers": lambda s: aiff(floats(s, big=True)),
    "aiff, integers said floats": lambda s: aiff(integers(s, 4, big=True), kind=b"fl32"),
    "caf, frames of 4 bytes said 64 bits": lambda s: caf(integers(s, 4).but(bits=64)),
    "caf, floats said integers": lambda s: caf(floats(s).but(tag=1)),
    "caf, integers said floats": lambda s: caf(integers(s, 4).but(tag=3)),
    "au, floats said integers": lambda s: au(floats(s, big=True), encoding=5),
    "au, integers said floats": lambda s: au(integers(s, 4, big=True), encoding=6),
    "caf, 24 bits low in 32": lambda s: caf(integers(s, 4, 24, right=True).but(valid=24)),
}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", OTHER_CONTAINERS)
def test_other_containers_of_samples_are_settled_too(name: str, channels: int) -> None:
    sound = voice(channels=channels)
    samples, notes = decode(OTHER_CONTAINERS[name](sound))
    assert same(samples, sound, 24)
    assert NoteKind.HEADER_CORRECTED in notes


OPEN_ENDED = {
    "wav of length 0": lambda s: wav(integers(s, 2), size=0),
    "wav of length -1": lambda s: wav(integers(s, 2), size=0xFFFF_FFFF),
    "rf64": lambda s: rf64(integers(s, 2), size=0),
    "w64": lambda s: w64(integers(s, 2), is_open=True),
    "aiff": lambda s: aiff(integers(s, 2, big=True), is_open=True),
    "aiff float": lambda s: aiff(floats(s, big=True), kind=b"fl32", is_open=True),
    "caf": lambda s: caf(integers(s, 2), is_open=True),
    "au of length -1": lambda s: au(integers(s, 2, big=True), encoding=3, size=0xFFFF_FFFF),
    "au of length 0": lambda s: au(integers(s, 2, big=True), encoding=3, size=0),
    "rf64 of 24 in 32": lambda s: rf64(integers(s, 4, 24).but(valid=24), size=0),
}


@pytest.mark.parametrize("name", OPEN_ENDED)
def test_a_file_that_was_streamed_is_read_to_its_end(name: str) -> None:
    sound = voice(3.0)
    samples, notes = decode(OPEN_ENDED[name](sound))
    assert same(samples, sound, 16)
    assert notes == ()


def test_sound_behind_the_length_in_the_header_is_read_and_told() -> None:
    sound = voice(4.0)
    samples, notes = decode(wav(integers(sound, 2), size=RATE))
    assert same(samples, sound, 16)
    assert notes == (NoteKind.HEADER_CORRECTED,)


@pytest.mark.parametrize("after", [b"LIST" + (8000).to_bytes(4, "little") + bytes(8000), bytes(9000), b"<x>" * 9000])
def test_what_is_no_sound_behind_the_samples_is_left_alone(after: bytes) -> None:
    sound = voice()
    samples, notes = decode(wav(integers(sound, 2), after=after))
    assert same(samples, sound, 16)
    assert notes == ()


SCALES = {
    "16 bits": lambda s: floats(np.round(s * 32767)),
    "16 bits, doubles": lambda s: floats(np.round(s * 32767), 8),
    "16 bits with fractions": lambda s: floats(s * 32767),
    "24 bits": lambda s: floats(np.round(s * 8388607)),
    "32 bits": lambda s: floats(np.round(s * 2147483647)),
    "8 bits": lambda s: floats(np.round(s * 127)),
    "unsigned 16 bits": lambda s: floats(np.round(s * 32767) + 32768),
    "unsigned 8 bits": lambda s: floats(np.round(s * 127) + 128),
}


@pytest.mark.parametrize("writer", [*sorted(WRITERS), "caf"])
@pytest.mark.parametrize("name", SCALES)
def test_floats_in_the_scale_of_integers_are_brought_to_full_scale_and_told(name: str, writer: str) -> None:
    sound = voice(6.0)
    samples, notes = decode((WRITERS | {"caf": caf})[writer](SCALES[name](sound)))
    assert same(samples, sound, 8 if " 8 " in f" {name} " else 15)
    assert notes == (NoteKind.OUT_OF_SCALE,)


def test_sixteen_bit_floats_that_begin_with_minutes_of_silence_are_seen() -> None:
    sound = np.concatenate((np.zeros((120 * RATE, 1)), voice(20.0)))
    samples, notes = decode(wav(floats(np.round(sound * 32767))))
    assert same(samples, sound, 15)
    assert notes == (NoteKind.OUT_OF_SCALE,)


@pytest.mark.parametrize("peak", [1.02, 1.5, 3.0])
def test_sound_that_is_somewhat_overdriven_keeps_its_scale(peak: float) -> None:
    sound = voice(6.0)
    sound = sound * (peak / np.abs(sound).max())
    samples, notes = decode(wav(floats(sound)))
    assert np.abs(samples - np.clip(mono(sound), -1, 1)).max() < 1e-5
    assert set(notes) <= {NoteKind.OVERDRIVEN}
    assert notes == () or peak > 1.02


def test_sound_that_is_mostly_cut_off_says_so() -> None:
    assert decode(wav(floats(voice(6.0) * 6)))[1] == (NoteKind.OVERDRIVEN,)


@pytest.mark.parametrize("scale", [1 / 32768, 1e-9, 1e-30])
def test_tiny_floats_are_quiet_sound(scale: float) -> None:
    sound = voice()
    samples, notes = decode(wav(floats(sound * scale)))
    assert np.abs(samples / scale - mono(sound)).max() < 1e-4
    assert notes == ()


def test_single_wild_values_rescale_nothing() -> None:
    sound = voice(6.0)
    wild = sound.copy()
    wild[5000], wild[40_000] = 1e30, -3e5
    samples, notes = decode(wav(floats(wild)))
    keep = np.abs(wild[:, 0]) < 1
    assert np.abs(samples - mono(sound))[keep].max() < 1e-5
    assert notes == ()


TAGS = {
    "ID3v2": b"ID3\3\0\0\0\0\x0f\x76" + bytes(2038),
    "ID3v2 with footer": b"ID3\4\0\x10\0\0\0\x64" + bytes(100) + b"3DI\4\0\x10\0\0\0\x64",
    "two ID3v2": (b"ID3\3\0\0\0\0\0\x64" + bytes(100)) * 2,
    "APE": b"APETAGEX" + b"\xd0\x07\0\0" + (64).to_bytes(4, "little") + bytes(4) + b"\0\0\0\xa0" + bytes(8 + 64),
    "ID3v1": b"TAG" + b"a" * 125,
    "ID3v2 and padding": b"ID3\3\0\0\0\0\0\x64" + bytes(100 + 777),
    "junk": b"\r\n" + bytes(100),
    "MacBinary": b"\0\7voice.w" + bytes(119),
}
LED = {
    "wav": lambda s: wav(integers(s, 2)),
    "wav 24 in 32": lambda s: wav(integers(s, 4, 24).but(valid=24)),
    "streamed rf64": lambda s: rf64(integers(s, 2), size=0),
    "w64": lambda s: w64(integers(s, 2)),
    "aiff": lambda s: aiff(integers(s, 2, big=True)),
    "caf": lambda s: caf(integers(s, 2)),
    "float of 16 bits": lambda s: wav(floats(np.round(s * 32767))),
}


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("name", LED)
def test_what_stands_before_the_header_is_skipped(name: str, tag: str) -> None:
    sound = voice(3.0)
    samples, notes = decode(TAGS[tag] + LED[name](sound))
    assert same(samples, sound, 15)
    assert notes == ((NoteKind.OUT_OF_SCALE,) if "float" in name else ())


@pytest.mark.slow
@pytest.mark.kit
def test_no_sound_recording_of_the_kit_has_a_note(kit: Path, tmp_path: Path) -> None:
    clips = [clip for folder in ("real", "tts", "human2") for clip in read_manifest(kit / folder)]
    hostile = [clip for clip in read_manifest(unpack_nasty(kit, tmp_path)) if clip.category in {"format", "values"}]
    for clip in [*clips, *hostile]:
        if clip.duration_s is not None and clip.duration_s < 60:
            with clip.path.open("rb") as file, MediaDecoder(file, clip.path.name) as decoder:
                for _ in decoder:
                    pass
                found = {note.kind for note in decoder.notes} - {NoteKind.OTHER_AUDIO_STREAMS}
            assert not found, clip.path.name


TRUE_FORMATS = {
    "8": lambda s: integers(s, 1), "16": lambda s: integers(s, 2), "24": lambda s: integers(s, 3),
    "32": lambda s: integers(s, 4), "float": floats, "double": lambda s: floats(s, 8),
}  # fmt: skip


@examples(150, deadline=None)
@given(
    name=st.sampled_from(sorted(TRUE_FORMATS)),
    channels=st.sampled_from([1, 2]),
    lie=st.one_of(
        st.tuples(st.just("bits"), st.sampled_from([16, 24, 32, 64])),
        st.tuples(st.just("block"), st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16])),
        st.tuples(st.just("byte_rate"), st.integers(1, 1 << 18)),
        st.tuples(st.just("tag"), st.sampled_from([0, 1, 3])),
        st.tuples(st.just("channels"), st.sampled_from([1, 2])),
    ),
    seed=st.integers(0, 100),
)
def test_any_one_field_may_lie(name: str, channels: int, lie: tuple[str, int], seed: int) -> None:
    sound = voice(channels=channels, seed=seed)
    pcm = TRUE_FORMATS[name](sound)
    lying = pcm.but(**{lie[0]: lie[1]})
    samples, notes = decode(wav(lying))
    assert same(samples, sound, min(16, pcm.width * 8))
    assert lying == pcm or lie[0] == "byte_rate" or notes


@pytest.mark.parametrize(("frame_bytes", "bits"), [(5, 24), (6, 32), (7, 16)])
def test_a_caf_whose_frames_have_a_size_that_no_sample_has_is_read_or_refused(frame_bytes: int, bits: int) -> None:
    """`bits` fit into such a frame, so neither field names a width for it."""
    data = bytearray(caf(integers(voice(0.5), 2)))
    at = data.index(b"desc") + 12
    data[at + 16 : at + 20], data[at + 28 : at + 32] = frame_bytes.to_bytes(4, "big"), bits.to_bytes(4, "big")
    try:
        with MediaDecoder(io.BytesIO(data), "sound") as decoder:
            heard = sum(map(len, decoder))
    except MediaError:
        return
    assert heard > 0

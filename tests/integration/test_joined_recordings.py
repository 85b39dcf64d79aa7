"""Recordings one behind the other in one file are heard to the end, each as it is, with times that go on."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.audio.links import Window
from examples import examples
from made_media import decode, heard, write

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = 400, 700, 1000


def joined(place: Path, parts: list[tuple[str, str, int, str, int]], *, seconds: float = 2.0) -> Path:
    """Files joined byte by byte: (suffix, codec, rate, layout, hertz) of each."""
    data = b""
    for number, (suffix, codec, rate, layout, hertz) in enumerate(parts):
        part = place.with_name(f"part{number}.{suffix}")
        write(part, [(0.0, seconds, hertz)], codec=codec, rate=rate, layout=layout)
        data += part.read_bytes()
    place.write_bytes(data)
    return place


CHAINS = {
    "other rate": [("ogg", "vorbis", 44_100, "stereo", A), ("ogg", "vorbis", 16_000, "stereo", B)],
    "other channels": [("ogg", "flac", 16_000, "mono", A), ("ogg", "flac", 16_000, "stereo", B)],
    "Opus behind Vorbis": [("ogg", "vorbis", 44_100, "stereo", A), ("opus", "libopus", 48_000, "mono", B)],
    "Vorbis behind Opus": [("opus", "libopus", 48_000, "stereo", A), ("ogg", "vorbis", 22_050, "stereo", B)],
    "Opus of other channels": [("opus", "libopus", 48_000, "mono", A), ("opus", "libopus", 48_000, "stereo", B)],
    "FLAC in Ogg": [("ogg", "flac", 44_100, "stereo", A), ("ogg", "flac", 16_000, "mono", B)],
    "FLAC behind Vorbis": [("ogg", "vorbis", 44_100, "stereo", A), ("ogg", "flac", 16_000, "mono", B)],
    "the same again": [("ogg", "vorbis", 16_000, "stereo", A), ("ogg", "vorbis", 16_000, "stereo", B)],
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chained_ogg_is_heard_to_the_end(tmp_path: Path, name: str) -> None:
    # The report's file: Vorbis of 44.1 kHz stereo, then of 16 kHz mono; half was missing.
    samples, damage, notes = decode(joined(tmp_path / "a.ogg", CHAINS[name]))
    assert heard(samples)[:8] == [A] * 4 + [B] * 4
    assert len(samples) / 16_000 == pytest.approx(4.0, abs=0.05)
    assert not damage
    assert [note.text for note in notes] == ["2 recordings one after another, the second from 2.0 s on"]


def test_a_chain_of_many_short_links_keeps_its_times(tmp_path: Path) -> None:
    kinds = [("ogg", "vorbis", 44_100, "stereo"), ("opus", "libopus", 48_000, "mono"), ("ogg", "flac", 8_000, "mono")]
    parts = [(*kinds[n % 3], (A, B, C)[n % 3]) for n in range(12)]
    samples, damage, _ = decode(joined(tmp_path / "a.ogg", parts, seconds=0.5))
    assert heard(samples) == [A, B, C] * 4
    assert len(samples) / 16_000 == pytest.approx(6.0, abs=0.05)
    assert not damage


def test_a_broken_link_in_the_middle_costs_that_link(tmp_path: Path) -> None:
    parts = [("ogg", "vorbis", 44_100, "stereo", A), ("ogg", "vorbis", 16_000, "stereo", B),
             ("opus", "libopus", 48_000, "mono", C)]  # fmt: skip
    place = joined(tmp_path / "a.ogg", parts)
    data = bytearray(place.read_bytes())
    second = data.index(b"OggS\0\2", 100)
    data[second + 28 : second + 58] = bytes(30)  # its first header
    place.write_bytes(data)
    samples, damage, _ = decode(place)
    found = heard(samples)
    assert found[:4] == [A] * 4
    assert found[-4:] == [C] * 4
    assert damage


def test_a_link_that_is_cut_off_is_told_and_what_follows_is_heard(tmp_path: Path) -> None:
    first = write(tmp_path / "1.ogg", [(0.0, 4.0, A)], codec="vorbis", rate=44_100, layout="stereo").read_bytes()
    second = write(tmp_path / "2.ogg", [(0.0, 2.0, B)], codec="vorbis", rate=16_000, layout="stereo").read_bytes()
    place = tmp_path / "a.ogg"
    place.write_bytes(first[: len(first) * 2 // 3] + second)
    samples, damage, _ = decode(place)
    assert damage.truncated
    assert heard(samples[-2 * 16_000 :]) == [B] * 4


FILES = {
    "wav": "pcm_s16le", "aiff": "pcm_s16be", "au": "pcm_s16be", "w64": "pcm_s16le", "caf": "pcm_s16be", "flac": "flac",
    "mp3": "mp3", "mka": "libopus", "webm": "libopus", "mp4": "aac", "m4a": "alac", "avi": "mp2", "aac": "aac",
    "ac3": "ac3",
}  # fmt: skip


@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize("second_rate", [48_000, 32_000])
def test_whole_files_joined_by_cat_are_heard_to_the_end(tmp_path: Path, suffix: str, second_rate: int) -> None:
    """Players play the first and stop, or go on at the wrong speed: nothing of it is said by them."""
    if FILES[suffix] == "libopus":
        second_rate //= 2
    parts = [(suffix, FILES[suffix], 48_000, "stereo", A), (suffix, FILES[suffix], second_rate, "mono", B)]
    samples, damage, notes = decode(joined(tmp_path / f"a.{suffix}", parts))
    found = heard(samples)
    assert found[:3] == [A] * 3
    assert found[5:8] == [B] * 3
    assert len(samples) / 16_000 == pytest.approx(4.0, abs=0.25)
    assert not damage.truncated
    if suffix not in {"aac", "ac3", "mp3"}:  # of these each frame stands for itself
        assert [note.kind for note in notes] == ["joined_recordings"]


def test_a_wav_may_be_followed_by_a_recording_of_another_kind(tmp_path: Path) -> None:
    parts = [("wav", "pcm_s16le", 44_100, "stereo", A), ("flac", "flac", 16_000, "mono", B)]
    samples, _, _ = decode(joined(tmp_path / "a.wav", parts))
    assert heard(samples) == [A] * 4 + [B] * 4


@pytest.mark.parametrize("junk", [b"\0" * 5000, b"TAG" + b"x" * 125, b"RIFF", b"OggS\0\2", b"APETAGEX" + b"\1" * 60])
@pytest.mark.parametrize("suffix", ["wav", "ogg", "flac", "mka", "mp4", "aiff"])
def test_what_only_looks_like_another_recording_changes_nothing(tmp_path: Path, suffix: str, junk: bytes) -> None:
    codec = {"wav": "pcm_s16le", "ogg": "vorbis", "flac": "flac", "mka": "mp2", "mp4": "aac", "aiff": "pcm_s16be"}
    place = write(tmp_path / f"a.{suffix}", [(0.0, 2.0, A)], codec=codec[suffix], rate=48_000, layout="stereo")
    place.write_bytes(place.read_bytes() + junk)
    samples, _, notes = decode(place)
    assert len(samples) / 16_000 == pytest.approx(2.0, abs=0.1)
    assert not notes


@pytest.mark.parametrize("tail", [b"", b"TAG" + bytes(125), bytes(64)])
@pytest.mark.parametrize("suffix", ["wav", "aiff", "au"])
def test_tags_behind_a_recording_are_no_other_one(tmp_path: Path, suffix: str, tail: bytes) -> None:
    codec = "pcm_s16le" if suffix == "wav" else "pcm_s16be"
    place = write(tmp_path / f"a.{suffix}", [(0.0, 2.0, A)], codec=codec, rate=16_000)
    lyrics = b"la la " * 1500 + bytes(1024)
    tag = b"ID3\x03\0\0" + bytes((0, 0, len(lyrics) >> 7, len(lyrics) & 0x7F)) + lyrics
    place.write_bytes(place.read_bytes() + tag + tail)
    samples, damage, notes = decode(place)
    assert (len(samples), bool(damage), notes) == (32_000, False, ())


_PAGE, _FIRST = b"OggS\0\0page", b"OggS\0\2page"


@examples(200)
@given(
    links=st.lists(
        st.tuples(st.integers(1, 3), st.lists(st.binary(max_size=60), min_size=1, max_size=6)), min_size=1, max_size=5
    ),
    sizes=st.lists(st.integers(1, 100), min_size=1),
    ahead=st.booleans(),
)  # fmt: skip
def test_an_ogg_is_cut_where_first_pages_come_after_others_however_it_is_read(
    links: list[tuple[int, list[bytes]]], sizes: list[int], *, ahead: bool
) -> None:
    made = [_FIRST * firsts + b"".join(_PAGE + body for body in bodies) for firsts, bodies in links]
    file, start, found = io.BytesIO(b"".join(made)), 0, []
    while True:
        window, data, turn = Window(file, start), b"", 0
        if ahead:
            window.find_next()
        while part := window.read(sizes[turn % len(sizes)]):
            data, turn = data + part, turn + 1
        # Bytes of the next link's first page may have been given out before it was whole.
        found.append(data[: window.stop - window.start])
        following = window.find_next()
        if following is None:
            break
        start = following
    assert found == made

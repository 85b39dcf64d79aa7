"""What is told of a file that ends early, and that nothing is told of one that does not: one law for all containers."""

from __future__ import annotations

import re
import struct
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag_whisper.audio.structure import StatedLength
from autorag_whisper.audio.truncation import is_short
from autorag_whisper.domain.errors import MediaError
from kit import read_manifest
from made_media import decode, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from autorag_whisper.domain.audio import MediaDamage

TOLERANCE_S, TOLERANCE_SHARE = 0.5, 0.02


class Kind(NamedTuple):
    """How a container is made. `pictures`: seconds of pictures more than there is sound; None: no pictures."""

    file_format: str
    codec: str
    rate: int = 16_000
    layout: str = "mono"
    pictures: float | None = None
    options: dict[str, str] = {}  # noqa: RUF012  # a named tuple's default, never changed
    picture_codec: str = "mpeg4"


_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "300000"}
KINDS = {
    "wav": Kind("wav", "pcm_s16le"),
    "wav, A-law": Kind("wav", "pcm_alaw", 8_000),
    "wav, ADPCM": Kind("wav", "adpcm_ms"),
    "wav, MP3": Kind("wav", "mp3"),
    "rf64": Kind("wav", "pcm_s24le", options={"rf64": "always"}),
    "w64": Kind("w64", "pcm_s16le"),
    "aiff": Kind("aiff", "pcm_s16be"),
    "au": Kind("au", "pcm_s16be"),
    "caf": Kind("caf", "pcm_s16be"),
    "voc": Kind("voc", "pcm_u8"),
    "sox": Kind("sox", "pcm_s32le"),
    "flac": Kind("flac", "flac"),
    "tta": Kind("tta", "tta"),
    "wavpack": Kind("wv", "wavpack"),
    "ogg, FLAC": Kind("ogg", "flac"),
    "ogg, Vorbis": Kind("ogg", "vorbis", 44_100, "stereo"),
    "opus": Kind("opus", "libopus", 48_000),
    "mp3": Kind("mp3", "mp3", 44_100),
    "mp3 without a header": Kind("mp3", "mp3", 44_100, options={"write_xing": "0", "id3v2_version": "0"}),
    "mp2": Kind("mp2", "mp2"),
    "adts": Kind("adts", "aac"),
    "latm": Kind("latm", "aac"),
    "ac3": Kind("ac3", "ac3", 48_000),
    "eac3": Kind("eac3", "eac3", 48_000),
    "mka": Kind("matroska", "libopus", 48_000),
    "mkv": Kind("matroska", "aac", pictures=0.0),
    "mkv, longer pictures": Kind("matroska", "aac", pictures=3.0),
    "mka, live": Kind("matroska", "pcm_s16le", options={"live": "1"}),
    "webm": Kind("webm", "libopus", 48_000),
    "webm, live": Kind("webm", "libopus", 48_000, options={"live": "1"}),
    "m4a, index first": Kind("ipod", "aac", options={"movflags": "faststart"}),
    "mp4, index first": Kind("mp4", "aac", pictures=0.0, options={"movflags": "faststart"}),
    "mp4, longer pictures": Kind("mp4", "aac", pictures=3.0, options={"movflags": "faststart"}),
    "mp4, index last": Kind("mp4", "aac", pictures=0.0),
    "mp4, fragments": Kind("mp4", "aac", options=_FRAGMENTS),
    "mp4, indexed fragments": Kind(
        "mp4", "aac", options=_FRAGMENTS | {"movflags": _FRAGMENTS["movflags"] + "+global_sidx"}
    ),
    "mov, PCM": Kind("mov", "pcm_s16le", options={"movflags": "faststart"}),
    "3gp": Kind("3gp", "aac", options={"movflags": "faststart"}),
    "avi, MP3": Kind("avi", "mp3"),
    "avi": Kind("avi", "pcm_s16le", pictures=0.0),
    "avi, longer pictures": Kind("avi", "mp2", pictures=3.0),
    "flv": Kind("flv", "mp3", 44_100),
    "flv, pictures": Kind("flv", "aac", 44_100, pictures=2.0, picture_codec="flv"),
    "asf": Kind("asf", "wmav2", 44_100),
    "asf, longer pictures": Kind("asf", "wmav2", 44_100, pictures=3.0),
    "mpegts": Kind("mpegts", "mp2"),
    "mpegts, pictures": Kind("mpegts", "aac", pictures=0.0),
    "mpeg": Kind("vob", "mp2", 48_000),
    "mxf": Kind("mxf", "pcm_s16le", 48_000, pictures=0.0, picture_codec="mpeg2video"),
    "rm": Kind("rm", "ac3", 44_100),
    "nut": Kind("nut", "libopus", 48_000),
}

BETWEEN = {
    "voc", "mp3 without a header", "mp2", "adts", "latm", "ac3", "eac3", "mka, live", "webm, live", "mp4, fragments",
    "mpegts", "mpegts, pictures", "mpeg", "flv", "flv, pictures",
}  # fmt: skip
"""Nothing tells how long these are: cut exactly between two elements they look whole (docs/reference/media.md)."""

SAYS_NOTHING = {"nut"}

MORE_OF_PICTURES = {"mkv, longer pictures", "avi, longer pictures", "asf, longer pictures", "flv, pictures"}
"""Cut among the pictures behind the last sound: bytes are missing, and whose they are nothing says."""


def make(place: Path, kind: Kind, seconds: float) -> bytes:
    write(
        place, [(0.0, seconds, 440)],
        codec=kind.codec, rate=kind.rate, layout=kind.layout, file_format=kind.file_format,
        picture_s=0.0 if kind.pictures is None else seconds + kind.pictures, picture_codec=kind.picture_codec,
        **kind.options,
    )  # fmt: skip
    return place.read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    """2.7 s of any kind, made once."""
    place = tmp_path_factory.mktemp("whole") / "whole"
    return cache(lambda name: make(place, KINDS[name], 2.7))


def told(place: Path, data: bytes) -> tuple[float, bool]:
    """How much comes of it, and whether it is said that it ends early, in the result or by an error."""
    place.write_bytes(data)
    try:
        samples, damage, _ = decode(place)
    except MediaError:
        return 0.0, True
    return len(samples) / 16_000, damage.truncated


@pytest.mark.parametrize("name", KINDS)
def test_a_whole_file_is_never_said_to_be_cut_off_and_a_cut_one_always_is(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, kind = tmp_path_factory.mktemp("cut"), KINDS[name]

    @settings(max_examples=4)
    @given(seconds=st.floats(2.0, 7.0), part=st.floats(0.15, 0.97))
    def law(seconds: float, part: float) -> None:
        data = make(folder / "whole", kind, seconds)
        whole_s, is_cut = told(folder / "whole", data)
        assert not is_cut
        assert whole_s == pytest.approx(seconds, abs=0.25)
        cut = int(len(data) * part)
        left_s, is_cut = told(folder / "cut", data[:cut])
        missing_s = whole_s - left_s
        if missing_s < 0.01:
            assert not is_cut or name in MORE_OF_PICTURES
        elif missing_s > TOLERANCE_S + TOLERANCE_SHARE * whole_s and name not in SAYS_NOTHING:
            assert is_cut or (name in BETWEEN and told(folder / "cut", data[: cut + 64])[1])

    law()


JUNK = {"zeros": bytes(4000), "ID3v1": b"TAG" + b"a title".ljust(125, b"\0"), "a few zeros": bytes(7)}


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("name", KINDS)
def test_what_lies_behind_the_end_is_no_alarm(
    name: str, junk: str, tmp_path: Path, whole: Callable[[str], bytes]
) -> None:
    seconds, is_cut = told(tmp_path / "junk", whole(name) + JUNK[junk])
    assert seconds == pytest.approx(2.7, abs=0.3)
    assert not is_cut


def damage_of(place: Path, data: bytes) -> MediaDamage:
    place.write_bytes(data)
    return decode(place)[1]


PLACEHOLDERS = [0, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7FFF_F000, 0x8000_0000, 2_000_000_000, 0xFFFF_FFDB, 0x4000_0000,
                1_000_000_000, 0x7FFF_FFDB]  # fmt: skip


@pytest.mark.parametrize("size", PLACEHOLDERS)
@pytest.mark.parametrize("both", [True, False])
def test_a_wav_whose_length_was_never_filled_in_states_nothing(tmp_path: Path, size: int, *, both: bool) -> None:
    # The report's file: 2,000,000,000 bytes by its header, whole, and said to be cut off.
    data = bytearray(make(tmp_path / "a", KINDS["wav"], 2.0))
    at = data.index(b"data") + 4
    data[at : at + 4] = size.to_bytes(4, "little")
    if both:
        data[4:8] = min(0xFFFF_FFFF, size + at - 4).to_bytes(4, "little")
    assert not damage_of(tmp_path / "b", bytes(data)).truncated
    assert not damage_of(tmp_path / "b", bytes(data[:-501])).truncated


def test_a_chunk_of_junk_and_an_open_end_are_no_alarm(tmp_path: Path) -> None:
    # The report's file: FFmpeg guesses a length from all bytes of the file, the junk too.
    data = make(tmp_path / "a", KINDS["wav"], 2.0)
    at = data.index(b"data")
    junk = b"JUNK" + (100_000).to_bytes(4, "little") + bytes(100_000)
    streamed = data[:4] + b"\xff" * 4 + data[8:at] + junk + b"data" + b"\xff" * 4 + data[at + 8 :]
    assert not damage_of(tmp_path / "b", streamed).truncated


def test_chunks_behind_the_samples_may_be_cut_off(tmp_path: Path) -> None:
    data = make(tmp_path / "a", KINDS["wav"], 2.0) + b"LIST" + (5000).to_bytes(4, "little") + bytes(5000)
    data = data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:]
    assert not damage_of(tmp_path / "b", data).truncated
    assert not damage_of(tmp_path / "b", data[:-4000]).truncated


@pytest.mark.parametrize("name", ["au", "caf", "aiff", "sox", "w64"])
def test_other_lengths_that_were_never_filled_in_state_nothing(tmp_path: Path, name: str) -> None:
    data = bytearray(make(tmp_path / "a", KINDS[name], 2.0))
    if name == "au":
        data[8:12] = b"\xff" * 4
    elif name == "caf":
        at = data.index(b"data") + 4
        data[at : at + 8] = b"\xff" * 8
    elif name == "aiff":
        at = data.index(b"SSND") + 4
        data[at : at + 4] = bytes(4)
        data[data.index(b"COMM") + 10 :][:4] = bytes(4)
    elif name == "sox":
        data[8:16] = bytes(8)
    else:
        at = data.index(b"data\xf3\xac") + 16
        data[at : at + 8] = b"\xff" * 8
    assert not damage_of(tmp_path / "b", bytes(data)).truncated


def test_a_flac_that_does_not_know_its_length_states_nothing(tmp_path: Path) -> None:
    data = bytearray(make(tmp_path / "a", KINDS["flac"], 3.0))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert not damage_of(tmp_path / "b", bytes(data)).truncated


def test_an_avi_with_half_of_its_bytes_is_told_whatever_ffmpeg_guesses(tmp_path: Path) -> None:
    # The report's file: AVI with MP3, 60 % of its bytes; its RIFF is larger than the file, and nothing was said.
    data = make(tmp_path / "a", KINDS["avi, MP3"], 6.0)
    assert damage_of(tmp_path / "b", data[: len(data) * 6 // 10]).truncated


@pytest.mark.parametrize("length", [0, 7, 0xFFFF_FFFF, 1 << 20])
def test_the_lengths_in_an_avi_s_stream_headers_are_not_trusted(tmp_path: Path, length: int) -> None:
    data = bytearray(make(tmp_path / "a", KINDS["avi"], 3.0))
    for match in re.finditer(rb"strh", bytes(data)):
        data[match.start() + 40 : match.start() + 44] = length.to_bytes(4, "little")
    assert not damage_of(tmp_path / "b", bytes(data)).truncated


def test_an_mp3_whose_frames_were_counted_is_told_if_they_do_not_come(tmp_path: Path) -> None:
    """Cut between two frames: only the count of the first frame shows it."""
    data = make(tmp_path / "a", KINDS["mp3"], 6.0)
    frame = data.rfind(b"\xff\xfb", 0, len(data) * 6 // 10)
    assert damage_of(tmp_path / "b", data[:frame]).truncated


def test_an_mp3_with_a_vbri_header_is_told_if_its_frames_do_not_come(tmp_path: Path) -> None:
    data = make(tmp_path / "a", KINDS["mp3 without a header"], 6.0)
    frames = round(6.0 * 44_100 / 1152)
    first = data[:4] + bytes(32) + b"VBRI" + bytes(10) + frames.to_bytes(4, "big") + bytes(400)
    first = first[: data.index(b"\xff\xfb", 4)]
    assert not damage_of(tmp_path / "b", first + data).truncated
    cut = data.rfind(b"\xff\xfb", 0, len(data) // 2)
    assert damage_of(tmp_path / "b", first + data[:cut]).truncated


def test_sound_that_starts_late_or_ends_before_the_pictures_is_whole(tmp_path: Path) -> None:
    for suffix in ("mkv", "mp4", "avi", "ts"):
        place = write(tmp_path / f"a.{suffix}", [(1.5, 2.0, 440)], codec="mp2", rate=48_000, picture_s=9.0)
        assert not decode(place)[1].truncated, suffix


@given(
    seconds=st.none() | st.floats(0, 1e5), whole=st.integers(0, 10**12), share=st.floats(0, 1),
    decoded_s=st.floats(0, 1e5), is_cut=st.booleans(),
)  # fmt: skip
def test_the_rule_alarms_only_on_evidence_and_always_where_much_is_missing(
    seconds: float | None, whole: int, share: float, decoded_s: float, *, is_cut: bool
) -> None:
    stated = StatedLength(seconds, whole, int(whole * share), is_cut)
    short = is_short(stated, decoded_s)
    if seconds is not None:
        assert short or seconds - decoded_s <= 0.5 + 0.02 * seconds
        assert not short or seconds > decoded_s
    elif stated.there_bytes == whole:
        assert short == (is_cut and not whole)
    elif decoded_s and stated.there_bytes:
        missing_s = decoded_s * (whole / stated.there_bytes - 1)
        assert short or missing_s <= 0.11


@pytest.mark.parametrize(("junk", "is_cut"), [(bytes(7), False), (b"\x3c" + b"\x55" * 9, True)])
def test_zeros_behind_frames_of_one_length_are_padding_and_a_begun_frame_is_none(
    tmp_path: Path, junk: bytes, *, is_cut: bool
) -> None:
    frame = b"\x3c" + bytes(range(31))  # AMR of 12.2 kbit/s
    assert damage_of(tmp_path / "a", b"#!AMR\n" + frame * 100 + junk).truncated == is_cut


def test_an_flv_that_another_tool_has_shortened_is_whole(tmp_path: Path) -> None:
    """Its metadata still tell the length in bytes that it had."""
    data = bytearray(make(tmp_path / "a", KINDS["flv"], 3.0))
    at = data.index(b"filesize") + 9
    data[at : at + 8] = struct.pack(">d", 2.0 * len(data))
    assert not damage_of(tmp_path / "b", bytes(data)).truncated
    assert damage_of(tmp_path / "b", bytes(data[:-300])).truncated


@pytest.mark.parametrize("length", [0, 40])
def test_a_matroska_whose_length_was_never_filled_in_is_whole(tmp_path: Path, length: int) -> None:
    data = make(tmp_path / "a", KINDS["mka"], 3.0).replace(b"\x53\xac", b"\x53\xae")  # and no places of its parts
    at = data.index(b"\x18\x53\x80\x67") + 4
    damage = damage_of(tmp_path / "b", data[:at] + bytes((1,)) + length.to_bytes(7, "big") + data[at + 8 :])
    assert not damage


@pytest.mark.kit
def test_no_recording_of_the_kit_is_said_to_be_cut_off_but_those_that_are(kit: Path, nasty: Path) -> None:
    short = [clip for clip in read_manifest(kit / "real") if clip.duration_s is None or clip.duration_s < 30]
    for clip in short[::3]:
        assert not decode(clip.path)[1].truncated, clip.path.name
    for clip in read_manifest(nasty):
        if clip.category == "format":
            assert not decode(clip.path)[1].truncated, clip.path.name
        if clip.category == "truncated" and clip.expect == "partial":
            assert decode(clip.path)[1].truncated, clip.path.name

"""Sound that goes on in another stream is heard; a stream that runs beside the chosen one is left alone."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.audio.decode import MediaDecoder
from made_media import decode, heard, write

if TYPE_CHECKING:
    from pathlib import Path

A, B, C, D = 400, 700, 1000, 1300
"""The tones of the streams."""


def transport(place: Path, parts: list[tuple[int, int, float, str]], *, picture_s: float = 0.0, **more: str) -> Path:
    """Transport streams of 3 s one behind the other in one file: (hertz, first PID, start, codec) of each."""
    data = b""
    for hertz, pid, start_s, codec in parts:
        part = place.with_suffix(".part")
        write(
            part, [(start_s, 3.0, hertz)], codec=codec, rate=48_000, file_format="mpegts", picture_s=picture_s,
            mpegts_start_pid=str(pid), **more
        )  # fmt: skip
        data += part.read_bytes()
    place.write_bytes(data)
    return place


@pytest.mark.parametrize("second", ["mp2", "aac", "ac3"])
def test_a_transport_stream_whose_audio_changes_its_pid_is_heard_to_the_end(tmp_path: Path, second: str) -> None:
    # The report's file: the PID changes half way, and half of the text was missing without a word.
    place = transport(tmp_path / "a.ts", [(A, 256, 0.0, "mp2"), (B, 512, 3.0, second)])
    samples, damage, notes = decode(place)
    found = heard(samples)
    assert found[:5] == [A] * 5
    assert found[7:11] == [B] * 4
    assert len(samples) / 16_000 == pytest.approx(6.0, abs=0.15)
    assert not damage.truncated
    assert [note.kind for note in notes] == ["audio_continues"]


def test_the_pid_may_change_back_and_change_again(tmp_path: Path) -> None:
    parts = [(A, 256, 0.0, "mp2"), (B, 512, 3.0, "mp2"), (A, 256, 6.0, "mp2"), (C, 777, 9.0, "aac")]
    samples, _, _ = decode(transport(tmp_path / "a.ts", parts))
    found = heard(samples)
    assert [found[n] for n in (1, 3, 8, 10, 14, 16, 20, 22)] == [A, A, B, B, A, A, C, C]
    assert len(samples) / 16_000 == pytest.approx(12.0, abs=0.2)


def test_the_clock_may_begin_again_where_the_pid_changes(tmp_path: Path) -> None:
    samples, _, _ = decode(transport(tmp_path / "a.ts", [(A, 256, 0.0, "mp2"), (B, 512, 0.0, "mp2")]))
    assert heard(samples)[1:5] + heard(samples)[7:11] == [A] * 4 + [B] * 4


def test_streams_that_ffmpeg_meets_long_after_the_beginning_are_found(tmp_path: Path) -> None:
    """It looks at the first five seconds or megabytes; PyAV gives no packets of what comes later."""
    place = tmp_path / "late.ts"
    write(tmp_path / "first", [(0.0, 60.0, A)], codec="mp2", file_format="mpegts", picture_s=60.0)
    write(
        tmp_path / "second", [(60.0, 3.0, B)], codec="mp2", file_format="mpegts", mpegts_start_pid="600",
        mpegts_pmt_start_pid="5000", mpegts_service_id="7",
    )  # fmt: skip
    place.write_bytes((tmp_path / "first").read_bytes() + (tmp_path / "second").read_bytes())
    samples, _, notes = decode(place)
    assert heard(samples)[118:125] == [A, A, B, B, B, B, B]
    assert [note.kind for note in notes] == ["audio_continues"]


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov", "ts", "nut"])
def test_tracks_that_follow_one_another_in_time_are_one_recording(tmp_path: Path, suffix: str) -> None:
    place = write(tmp_path / f"a.{suffix}", [(0.0, 3.0, A), (3.0, 3.0, B)], codec="mp2")
    samples, damage, notes = decode(place)
    found = heard(samples)
    assert found[1:5] + found[7:11] == [A] * 4 + [B] * 4
    assert not damage.truncated
    assert [note.kind for note in notes] == ["audio_continues"]


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts", "nut"])
@pytest.mark.parametrize(
    "tracks",
    [
        [(0.0, 6.0, A), (0.0, 6.0, B)],
        [(0.0, 4.0, A), (0.0, 8.0, B)],  # the second is longer
        [(0.0, 8.0, A), (2.0, 6.0, B)],  # the second begins later
        [(0.0, 3.0, A), (1.5, 6.0, B)],
    ],
)
def test_two_tracks_beside_each_other_are_never_mixed(
    tmp_path: Path, suffix: str, tracks: list[tuple[float, float, int]]
) -> None:
    place = write(tmp_path / f"a.{suffix}", tracks, codec="mp2")
    samples, _, notes = decode(place)
    assert set(heard(samples)[:-1]) == {A}
    assert len(samples) / 16_000 == pytest.approx(tracks[0][1], abs=0.2)
    assert [note.kind for note in notes] == ["other_audio_streams"]


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_a_pause_of_the_chosen_track_is_not_filled_from_a_track_beside_it(tmp_path: Path, suffix: str) -> None:
    place = tmp_path / f"a.{suffix}"
    quiet = tmp_path / "a.part"
    parts = []
    for start_s in (0.0, 8.0):  # 4 s of both, 4 s of the second one alone, 4 s of both
        write(quiet, [(start_s, 4.0, A), (start_s, 4.0, B)], codec="mp2", file_format="mpegts")
        parts.append(quiet.read_bytes())
        if not start_s:
            write(quiet, [(4.0, 0.1, A), (4.0, 4.0, B)], codec="mp2", file_format="mpegts")
            parts.append(quiet.read_bytes())
    place.write_bytes(b"".join(parts))
    samples, damage, _ = decode(place)
    found = heard(samples)
    assert B not in found
    assert found[10:15] == [0] * 5
    assert found[17:22] == [A] * 5
    assert damage.gap_s == pytest.approx(4.0, abs=0.3)


def test_both_programmes_of_a_transport_stream_are_not_joined(tmp_path: Path) -> None:
    place = write(tmp_path / "a.ts", [(0.0, 5.0, A), (0.0, 5.0, B), (0.0, 5.0, C)], codec="aac")
    for chosen, hertz in enumerate((A, B, C)):
        samples, _, _ = decode(place, audio_stream=chosen)
        assert set(heard(samples)[1:-1]) == {hertz}
        assert np.abs(samples).max() > 0.3


def test_a_third_track_beside_a_recording_that_goes_on_elsewhere_is_still_named(tmp_path: Path) -> None:
    place = write(tmp_path / "a.mkv", [(0.0, 3.0, A), (3.0, 3.0, B), (0.0, 6.0, C)], codec="mp2")
    samples, _, notes = decode(place)
    assert set(heard(samples)[1:5]) == {A}
    assert set(heard(samples)[7:11]) == {B}
    assert [note.text for note in notes] == [
        "the sound of audio stream 0 goes on in another one, which was transcribed, too",
        "audio stream 0 was transcribed, not 2",
    ]


def test_a_second_half_without_any_tables_is_found_by_its_packets(tmp_path: Path) -> None:
    place = transport(tmp_path / "a.ts", [(A, 256, 0.0, "mp2"), (B, 512, 3.0, "mp2")])
    data = place.read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    first = next(n for n, packet in enumerate(packets) if (packet[1] & 0x1F, packet[2]) == (2, 0))
    alone = [packet for packet in packets[first:] if (packet[1] & 0x1F, packet[2]) == (2, 0)]
    place.write_bytes(b"".join(packets[:first] + alone))
    samples, _, _ = decode(place)
    assert heard(samples)[1:5] + heard(samples)[7:11] == [A] * 4 + [B] * 4


@pytest.mark.parametrize("chosen", [0, 1])
@pytest.mark.parametrize("tagged", [True, False])
def test_where_both_languages_change_their_pids_each_goes_on_in_its_own(
    tmp_path: Path, chosen: int, *, tagged: bool
) -> None:
    data = b""
    # The second half has them the other way round if their languages tell them apart.
    for number, tracks in enumerate(([(A, "deu"), (B, "eng")], [(C, "eng"), (D, "deu")][:: 1 if tagged else -1])):
        part = write(
            tmp_path / "part", [(3.0 * number, 3.0, hertz) for hertz, _ in tracks], codec="mp2", file_format="mpegts",
            languages=[language for _, language in tracks] if tagged else None,
            mpegts_start_pid=str(256 * (number + 1)),
        )  # fmt: skip
        data += part.read_bytes()
    place = tmp_path / "a.ts"
    place.write_bytes(data)
    found = heard(decode(place, audio_stream=chosen)[0])
    first, second = ((A, D), (B, C))[chosen]
    assert found[1:5] + found[7:11] == [first] * 4 + [second] * 4


def test_a_broadcast_may_change_its_codec_again_and_again(tmp_path: Path) -> None:
    """Each change was read within the one before, so that a few hundred were too deep for the interpreter."""
    parts = [(A, 256, 0.0, "mp2"), (B, 256, 3.0, "aac")]
    place = transport(
        tmp_path / "a.ts",
        [(hertz, pid, start_s + 6.0 * n, codec) for n in range(6) for hertz, pid, start_s, codec in parts],
    )
    depths: list[int] = []
    with place.open("rb") as file, MediaDecoder(Watched(file.read(), depths), "a.ts") as decoder:
        samples = np.concatenate(list(decoder))
        assert decoder.damage.damaged_packets <= 3 * 11
    found = heard(samples)
    assert len(samples) / 16_000 == pytest.approx(36.0, abs=0.6)
    assert [found[6 * n + 3] for n in range(12)] == [A, B] * 6
    assert max(depths[-100:]) - max(depths[:-100][-1000:]) <= 3, "it reads deeper and deeper"


class Watched(io.BytesIO):
    """A file that notes how deep the calls are in which it is read."""

    def __init__(self, data: bytes, depths: list[int]) -> None:
        super().__init__(data)
        self.depths = depths

    def read(self, size: int | None = -1, /) -> bytes:
        depth, frame = 0, sys._getframe()
        while frame.f_back is not None:
            frame, depth = frame.f_back, depth + 1
        self.depths.append(depth)
        return super().read(size)


@pytest.mark.parametrize("codecs", [("mp2", "aac"), ("aac", "ac3"), ("ac3", "mp2")])
def test_the_same_pid_may_carry_another_codec(tmp_path: Path, codecs: tuple[str, str]) -> None:
    parts = [(A, 256, 0.0, codecs[0]), (B, 256, 3.0, codecs[1])]
    samples, damage, _ = decode(transport(tmp_path / "a.ts", parts))
    found = heard(samples)
    assert found[1:5] + found[7:11] == [A] * 4 + [B] * 4
    assert damage.damaged_packets <= 3  # about the joint itself


class _Counting(io.BytesIO):
    """A file that knows how much of it was read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def test_what_follows_a_filled_gap_is_heard_before_the_file_is_read_to_its_end(tmp_path: Path) -> None:
    """NUT does not say how long a packet of Opus is: all packets behind the gap were held in memory."""
    place = write(tmp_path / "a.nut", [(3.0, 120.0, A), (0.0, 3.0, B)], codec="libopus", rate=48_000)
    file = _Counting(place.read_bytes())
    with MediaDecoder(file, place.name) as decoder:
        file.count = 0
        while decoder.samples_out < 8 * 16_000:
            next(decoder)
    assert file.count < place.stat().st_size / 2

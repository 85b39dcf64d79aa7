"""Every container and codec that can be made here is read; what is none of them, or something else, is not."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from autorag_whisper.audio.allowlist import CODECS, FORMATS, SUFFIXES, TABLE, headerless
from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.domain.errors import MediaError, MediaNotRecognised
from made_media import dictation
from pcm_files import RATE, floats, integers, voice, wav
from written_formats import WRITTEN, spoken, write


def decode(data: bytes, name: str) -> tuple[np.ndarray, MediaDecoder]:
    with MediaDecoder(io.BytesIO(data), name) as decoder:
        return np.concatenate(list(decoder)), decoder


def loudness(samples: np.ndarray) -> np.ndarray:
    """float[n], what is loud when: the same in every codec, however it turns phases."""
    count = len(samples) // 800
    return np.sqrt((samples[: count * 800].astype(np.float64).reshape(count, 800) ** 2).mean(axis=1))


def sounds_like(samples: np.ndarray, clean: np.ndarray) -> float:
    """Correlation of how loud they are, at the best of the delays that codecs have."""
    heard, meant = loudness(samples), loudness(clean)
    return max(np.corrcoef(heard[late : late + 60], meant[: len(heard[late : late + 60])])[0, 1] for late in range(4))


@pytest.mark.parametrize("suffix", WRITTEN)
def test_what_ffmpegs_libraries_write_is_read(suffix: str) -> None:
    samples, decoder = decode(write(suffix), f"talk.{suffix}")
    assert abs(len(samples) - 4 * RATE) < 0.3 * RATE
    assert sounds_like(samples, spoken()) > 0.9
    assert not decoder.notes
    assert not decoder.damage


NAMED = [suffix for suffix in WRITTEN if headerless(f"a.{suffix}")]


@pytest.mark.parametrize("suffix", NAMED)
def test_sound_without_a_header_needs_its_suffix_in_any_case(suffix: str) -> None:
    data = write(suffix)
    assert len(decode(data, f"TALK.{suffix.upper()}")[0]) > 3 * RATE
    try:
        samples, _ = decode(data, "talk.bin")
    except MediaError:
        return
    assert suffix in {"g723_1", "sbc", "g722"} or sounds_like(samples, spoken()) > 0.9


@pytest.mark.parametrize("suffix", ["g722", "gsm", "sbc", "g726", "alaw", "sln16", "aptx", "g729"])
@pytest.mark.parametrize("content", ["aac", "flac", "mp2", "ts", "oga", "mka", "m4a", "au", "sf", "wav", "mp3"])
def test_a_suffix_decides_nothing_where_the_bytes_say_what_they_are(suffix: str, content: str) -> None:
    data = wav(integers(voice(4.0, seed=3), 2)) if content == "wav" else b""
    samples, decoder = decode(data or write(content), f"talk.{suffix}")
    assert decoder.info.container not in {"g722", "gsm", "sbc", "g726", "alaw", "sln", "aptx", "g729"}
    assert sounds_like(samples, spoken()) > 0.9


HOSTILE = {
    "ffconcat": b"ffconcat version 1.0\nfile secret.wav\n",
    "hls": b"#EXTM3U\n#EXTINF:1,\nfile:secret.wav\n#EXT-X-ENDLIST\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9999 RTP/AVP 0\n",
    "page": b"<!DOCTYPE html><html><body>404</body></html>\n" * 50,
    "utf-8": "Überall Wörter, nirgends Ton.\n".encode() * 99,
    "zip": b"PK\3\4" + wav(integers(voice(), 2)),
    "pdf": b"%PDF-1.7\n" + bytes(range(256)) * 20,
}


@pytest.mark.parametrize("content", HOSTILE)
@pytest.mark.parametrize("suffix", [*NAMED, "gsm", "g729", "wav", "dss"])
def test_lists_pages_and_archives_are_no_sound_whatever_they_are_called(suffix: str, content: str) -> None:
    with pytest.raises(MediaNotRecognised):
        decode(HOSTILE[content], f"talk.{suffix}")


def test_dictation_is_read() -> None:
    samples, decoder = decode(dictation(write("g723_1")), "note.dss")
    assert decoder.info.container == "dss"
    assert sounds_like(samples, spoken()) > 0.9


def test_video_of_a_camcorder_is_heard() -> None:
    if "dv" not in av.formats_available or "dvvideo" not in av.codecs_available:
        pytest.skip("no DV here")
    sound = (np.interp(np.arange(4 * 48_000) / 3, np.arange(4 * RATE), spoken()) * 32767).astype(np.int16)
    out = io.BytesIO()
    with av.open(out, "w", format="dv") as container:
        video = container.add_stream("dvvideo", rate=25)
        video.width, video.height, video.pix_fmt = 720, 576, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=48_000, layout="stereo")
        for number in range(100):
            container.mux(video.encode(av.VideoFrame(720, 576, "yuv420p")))
            part = np.repeat(sound[number * 1920 : (number + 1) * 1920], 2)[None]
            frame = av.AudioFrame.from_ndarray(part, "s16", "stereo")
            frame.sample_rate, frame.pts = 48_000, number * 1920
            container.mux(audio.encode(frame))
    samples, decoder = decode(out.getvalue(), "tape.dv")
    assert decoder.info.container == "dv"
    assert sounds_like(samples, spoken()) > 0.9


@pytest.mark.parametrize("suffix", ["sf", "sox", "voc", "au", "caf", "g722", "g723_1", "sbc", "wv", "mxf", "wtv"])
def test_damaged_bytes_give_samples_or_a_media_error(suffix: str) -> None:
    data, random = write(suffix), np.random.default_rng(0)
    for _ in range(20):
        damaged = bytearray(data)
        for at in random.integers(0, min(len(data), 4000), 12):
            damaged[at] = int(random.integers(256))
        try:
            with MediaDecoder(io.BytesIO(bytes(damaged)), f"talk.{suffix}", max_duration_s=3600) as decoder:
                for block in decoder:
                    assert np.isfinite(block).all()
        except MediaError:
            pass


def test_the_documentation_says_of_every_demuxer_and_decoder_whether_it_is_read() -> None:
    page = (Path(__file__).parents[2] / "docs/formats.md").read_text(encoding="utf-8")
    for one in TABLE:
        shown = " ".join(suffix if suffix in one.in_folders else f"({suffix})" for suffix in one.suffixes)
        assert f"| `{one.name}` | {one.title} | {shown} |" in page
    said = {word.strip("`") for word in page.split() if word.startswith("`")}
    assert said >= CODECS
    demuxers = {name for row in av.formats_available if _is_demuxer(row) for name in row.split(",")}
    assert demuxers - said == set()
    decoders = {name for name in av.codecs_available if _is_sound(name)}
    assert decoders - said == set()


def test_nothing_that_opens_other_files_is_listed() -> None:
    opens = {"concat", "hls", "dash", "image2", "image2pipe", "sdp", "rtp", "rtsp", "sap", "imf", "vobsub", "mlv"}
    devices = {"lavfi", "alsa", "oss", "v4l2", "fbdev", "kmsgrab", "x11grab"}
    assert not (opens | devices) & set(FORMATS)
    assert not {"wavesynth", "anull"} & CODECS


def test_every_suffix_of_a_folder_is_lower_case_and_begins_with_a_dot() -> None:
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in SUFFIXES)
    assert {".wav", ".mp3", ".m4a", ".opus", ".mkv", ".dss", ".gsm", ".g722", ".sf", ".dv"} <= SUFFIXES
    assert not {".txt", ".dat", ".bit", ".srt", ".json", ".raw", ".iff"} & SUFFIXES


def test_floats_behind_a_suffix_of_another_format_are_floats() -> None:
    samples, _ = decode(wav(floats(voice(4.0, seed=3))), "talk.gsm")
    assert sounds_like(samples, spoken()) > 0.99


def _is_demuxer(name: str) -> bool:
    try:
        return bool(av.ContainerFormat(name, "r").is_input)
    except ValueError:
        return False


def _is_sound(name: str) -> bool:
    try:
        return av.Codec(name, "r").type == "audio"
    except ValueError:
        return False

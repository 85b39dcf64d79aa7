"""Decoding in a process of its own: the same sound, and whatever that process does costs its recording alone."""

from __future__ import annotations

import io
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.audio import AudioTrack, MediaDamage, MediaInfo
from autorag_whisper.domain.decoding import DecodingLimits
from autorag_whisper.domain.errors import (
    InvalidOption,
    MediaDamaged,
    MediaEmpty,
    MediaError,
    MediaNotFound,
    MediaNotRecognised,
    MediaTooLong,
    NoAudioStream,
)
from autorag_whisper.domain.media_errors import (
    DecoderDied,
    DecoderKilled,
    DecoderUnavailable,
    MediaOverLimit,
    ReaderFailed,
)
from autorag_whisper.domain.notes import Note, NoteKind
from autorag_whisper.isolation import messages
from autorag_whisper.isolation.decoder import IsolatedDecoder
from autorag_whisper.isolation.pool import DecoderPool
from autorag_whisper.testing import speech_samples, write_speech
from autorag_whisper.worker.spool import Spool, arrived
from http_world import decoder_of
from made_media import write as write_tracks
from pcm_files import RATE
from run_world import World
from written_formats import WRITTEN, write

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="decoder processes need Linux")

LIMITS = DecodingLimits()
CHILD = (sys.executable, str(Path(__file__).parents[1] / "isolation_child.py"))


@pytest.fixture(scope="module")
def decoders() -> Iterator[DecoderPool]:
    pool = DecoderPool(os.environ)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def obedient() -> Iterator[DecoderPool]:
    """Decoder processes that do what the media says."""
    pool = DecoderPool(os.environ | {"SECRET_KEY": "sk-1"}, CHILD)
    yield pool
    pool.close()


Heard = tuple[list[Any], Any, Any, Any, Any]


def here(source: MediaSource, **asked: Any) -> Heard:
    with source.open() as file, MediaDecoder(file, source.name, **asked) as decoder:
        blocks = list(decoder)
        return blocks, decoder.info, decoder.damage, decoder.notes, decoder.expected_duration_s


def elsewhere(source: MediaSource, pool: DecoderPool, limits: DecodingLimits = LIMITS, **asked: Any) -> Heard:
    with IsolatedDecoder(source, limits, decoders=pool, **asked) as decoder:
        blocks = list(decoder)
        assert decoder.samples_out == sum(map(len, blocks))
        return blocks, decoder.info, decoder.damage, decoder.notes, decoder.expected_duration_s


def assert_same(one: Heard, other: Heard) -> None:
    assert one[1:] == other[1:]
    assert [len(block) for block in one[0]] == [len(block) for block in other[0]]
    assert all(np.array_equal(a, b) for a, b in zip(one[0], other[0], strict=True))


def riff(frames: int, channels: int = 1, *, told: int | None = None) -> bytes:
    """A WAV of 16 bits; `told`: frames that its header speaks of."""
    pcm = np.random.default_rng(frames).integers(-9000, 9000, (frames, channels)).astype("<i2").tobytes()
    size = len(pcm) if told is None else told * channels * 2
    form = struct.pack("<IHHIIHH", 16, 1, channels, RATE, RATE * channels * 2, channels * 2, 16)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size) + pcm


@pytest.mark.parametrize("suffix", WRITTEN)
def test_every_format_is_the_same_sound_there_as_here(decoders: DecoderPool, tmp_path: Path, suffix: str) -> None:
    place = tmp_path / f"talk.{suffix}"
    place.write_bytes(write(suffix))
    source = MediaSource.from_path(place)
    assert_same(here(source), elsewhere(source, decoders))


def test_tracks_titles_and_notes_arrive_whole(decoders: DecoderPool, tmp_path: Path) -> None:
    place = write_tracks(
        tmp_path / "two.mkv", [(0, 2, 300), (0.5, 2, 500)], codec="flac", picture_s=2, languages=["eng", "deu"]
    )
    source = MediaSource.from_path(place)
    heard = elsewhere(source, decoders, audio_stream="deu")
    assert_same(here(source, audio_stream="deu"), heard)
    assert heard[1].audio_stream == 1
    assert [note.kind for note in heard[3]] == [NoteKind.OTHER_AUDIO_STREAMS]


def test_damage_is_counted_there_as_here(decoders: DecoderPool) -> None:
    data = bytearray(write("flac"))
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    heard = elsewhere(MediaSource.from_bytes(data, "talk.flac"), decoders)
    assert_same(here(MediaSource.from_bytes(data, "talk.flac")), heard)
    assert heard[2]


def test_audio_without_a_path_is_the_same_wherever_it_lies(decoders: DecoderPool) -> None:
    samples = speech_samples(3)
    data = riff(3 * RATE)
    wanted = here(MediaSource.from_bytes(data, "a.wav"))
    assert_same(wanted, elsewhere(MediaSource.from_bytes(data, "a.wav"), decoders))
    assert_same(wanted, elsewhere(MediaSource.from_file(io.BytesIO(data), "a.wav"), decoders))
    assert_same(here(MediaSource.from_samples(samples)), elsewhere(MediaSource.from_samples(samples), decoders))


def test_a_part_of_a_spool_is_read_and_its_neighbours_are_not(decoders: DecoderPool) -> None:
    spool = Spool()
    sources = [MediaSource.from_bytes(write(name), f"a.{name}").isolated() for name in ("flac", "mp3")]
    files = [arrived(spool.add(source), spool.descriptor) for source in sources]
    assert all(file.isolation == LIMITS for file in files)
    for source, file in zip(sources, files, strict=True):
        assert_same(here(source), elsewhere(file, decoders))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", MediaEmpty),
        (b"This is no recording." * 200, MediaNotRecognised),
        (b"RIFF\0\0\0\0WAVEjunk", MediaDamaged),
        (write("mp3")[:300], None),
        (riff(0), None),
    ],
)
def test_what_is_wrong_is_told_in_the_same_words(
    decoders: DecoderPool, data: bytes, error: type[MediaError] | None
) -> None:
    source = MediaSource.from_bytes(data, "odd.wav")
    with pytest.raises(error or MediaError) as wanted:
        here(source)
    with pytest.raises(error or MediaError) as told:
        elsewhere(source, decoders)
    assert (type(told.value), str(told.value)) == (type(wanted.value), str(wanted.value))


def test_a_file_that_is_not_there_or_has_no_sound_is_told(decoders: DecoderPool, tmp_path: Path) -> None:
    with pytest.raises(MediaNotFound):
        elsewhere(MediaSource.from_path(tmp_path / "none.wav"), decoders)
    silent = write_tracks(tmp_path / "film.mkv", [], codec="flac", picture_s=1)
    with pytest.raises(NoAudioStream):
        elsewhere(MediaSource.from_path(silent), decoders)


def zeros(place: Path, seconds: float, channels: int = 1) -> MediaSource:
    """A WAV of silence that takes no room on the disk."""
    frames = round(seconds * RATE)
    place.write_bytes(riff(0, channels, told=frames))
    os.truncate(place, place.stat().st_size + frames * channels * 2)
    return MediaSource.from_path(place)


@pytest.mark.slow
def test_more_than_the_limits_ends_it(decoders: DecoderPool, tmp_path: Path) -> None:
    source = zeros(tmp_path / "long.wav", 100, channels=6)
    with pytest.raises(MediaTooLong):
        elsewhere(source, decoders, max_duration_s=50)
    with pytest.raises(MediaOverLimit, match="6 channels, more than 2"):
        elsewhere(source, decoders, DecodingLimits(channels=2))
    with pytest.raises(MediaOverLimit, match="more than 1,600,000 samples"):
        elsewhere(source, decoders, DecodingLimits(samples=1_600_000))
    with pytest.raises(MediaOverLimit, match="6 channels, more than 2"), source.open() as file:
        list(MediaDecoder(file, "a", limits=DecodingLimits(channels=2)))
    assert len(elsewhere(source, decoders, DecodingLimits(channels=6, samples=9_600_000), max_duration_s=100)[0]) > 49


def test_hours_of_silence_in_a_tiny_file_cost_the_processor_time_that_is_allowed(
    decoders: DecoderPool, tmp_path: Path
) -> None:
    bomb = zeros(tmp_path / "bomb.wav", 36 * 3600)
    assert bomb.path is not None
    assert bomb.path.stat().st_blocks * 512 < 1 << 20
    with pytest.raises(MediaOverLimit, match="processor time"):
        elsewhere(bomb, decoders, DecodingLimits(cpu_s=1))


def ordered(order: bytes) -> MediaSource:
    return MediaSource.from_bytes(order, "strange.wav")


@pytest.mark.parametrize(
    ("order", "reason"), [(b"CRASH", "SIGSEGV"), (b"LATE-CRASH", "SIGABRT"), (b"EXIT", "exit code 7")]
)
def test_a_decoder_that_crashes_costs_its_recording_alone(
    obedient: DecoderPool, tmp_path: Path, order: bytes, reason: str
) -> None:
    neighbour = MediaSource.from_path(write_speech(tmp_path / "talk.wav", speech_samples(5)))
    with IsolatedDecoder(neighbour, LIMITS, decoders=obedient) as other:
        first = next(other)
        with pytest.raises(DecoderDied, match=reason):
            elsewhere(ordered(order), obedient)
        assert_same(
            here(neighbour), ([first, *other], other.info, other.damage, other.notes, other.expected_duration_s)
        )


def test_a_decoder_that_the_system_kills_is_no_fault_of_its_recording(decoders: DecoderPool, tmp_path: Path) -> None:
    long = MediaSource.from_path(write_speech(tmp_path / "long.wav", speech_samples(1500)))
    with IsolatedDecoder(long, LIMITS, decoders=decoders) as decoder:
        next(decoder)
        assert long.path is not None
        own = decoder_of(long.path.stat().st_size, decoders.process_id)
        assert Path(f"/proc/{own}/oom_score_adj").read_text().strip() == "1000"  # before the server itself
        os.kill(own, signal.SIGKILL)
        with pytest.raises(DecoderKilled, match="memory runs out"):
            for _ in decoder:
                pass


def test_an_endless_loop_and_a_process_that_says_nothing_are_ended(obedient: DecoderPool) -> None:
    with pytest.raises(MediaOverLimit, match="processor time"):
        elsewhere(ordered(b"LOOP"), obedient, DecodingLimits(cpu_s=1))
    with pytest.raises(MediaOverLimit, match=r"nothing came of it for 0\.1 s"):
        elsewhere(ordered(b"SILENT"), obedient, DecodingLimits(stall_s=0.1))


def test_more_memory_than_allowed_is_told(obedient: DecoderPool) -> None:
    with pytest.raises(MediaOverLimit, match="more than 300 MiB"):
        elsewhere(ordered(b"GROW"), obedient, DecodingLimits(memory_mb=300))


def test_a_decoder_process_can_do_nothing_but_decode(obedient: DecoderPool) -> None:
    with pytest.raises(ReaderFailed) as told:
        elsewhere(ordered(b"TRY"), obedient)
    refused = json.loads(told.value.detail)
    if not _has_landlock():
        del refused["end others"]  # by its user alone
    assert [name for name, reason in refused.items() if not reason] == []


def _has_landlock() -> bool:
    import ctypes

    return ctypes.CDLL(None).syscall(444, None, 0, 1) >= 6


def test_no_secret_of_the_environment_comes_near_the_media(obedient: DecoderPool) -> None:
    with pytest.raises(ReaderFailed) as told:
        elsewhere(ordered(b"ENVIRON"), obedient)
    assert "PATH" in told.value.detail
    assert "SECRET_KEY" not in told.value.detail


@pytest.mark.parametrize(
    "said",
    [b"", b"X", b"I", b"I{}", b"I[]", b"I" + b"[" * 60_000, b"E", b'E{"error": "SystemExit", "fields": {}}', b"S1234"],
)
def test_a_decoder_process_that_says_nonsense_first_is_refused(obedient: DecoderPool, said: bytes) -> None:
    with pytest.raises(DecoderDied):
        elsewhere(ordered(b"SAY 12345678" + said), obedient)


@pytest.mark.parametrize(
    "said", [b"S123", b"S" + np.array([np.nan], np.float32).tobytes(), b"I{}", b"D{}", b"\x80pickle", b"S"]
)
def test_a_decoder_process_that_says_nonsense_later_is_refused(obedient: DecoderPool, said: bytes) -> None:
    with pytest.raises(DecoderDied):
        elsewhere(ordered(b"GO-ON " + said), obedient)


def test_leaving_in_the_midst_ends_the_process(tmp_path: Path) -> None:
    pool = DecoderPool(os.environ)
    try:
        source = zeros(tmp_path / "long.wav", 4000)
        with IsolatedDecoder(source, LIMITS, decoders=pool) as decoder:
            next(decoder)
            server = psutil.Process(pool.process_id)
            busy = [child for child in server.children() if str(source.path) in [f.path for f in child.open_files()]]
            assert len(busy) == 1
        _, alive = psutil.wait_procs(busy, 60)
        assert not alive
        assert list(decoder) == []
    finally:
        pool.close()
    assert not server.is_running()


def test_a_fork_server_that_ended_is_replaced(tmp_path: Path) -> None:
    pool = DecoderPool(os.environ)
    try:
        source = MediaSource.from_path(write_speech(tmp_path / "talk.wav", speech_samples(2)))
        wanted = elsewhere(source, pool)
        server = psutil.Process(pool.process_id)
        server.kill()
        psutil.wait_procs([server], 60)
        assert_same(wanted, elsewhere(source, pool))
        assert pool.process_id != server.pid
    finally:
        pool.close()


def test_a_task_that_cannot_be_sent_costs_no_other_recording(decoders: DecoderPool, tmp_path: Path) -> None:
    # A title of 300,000 characters, which any client may ask for, ended the fork server and every decoder with it.
    source = MediaSource.from_path(write_speech(tmp_path / "talk.wav", speech_samples(20)))
    wanted = here(source)
    with IsolatedDecoder(source, LIMITS, decoders=decoders) as other:
        first, server = next(other), decoders.process_id
        with pytest.raises(DecoderUnavailable, match="message too long"):
            elsewhere(source, decoders, audio_stream="x" * 300_000)
        assert sum(map(len, other)) + len(first) == sum(map(len, wanted[0]))
    assert decoders.process_id == server
    named = MediaSource(f"{'x' * 300_000}.wav", path=source.path)
    assert_same(here(source), elsewhere(named, decoders))


def test_a_system_without_processes_to_give_costs_no_recording_that_has_one(tmp_path: Path) -> None:
    barren = tmp_path / "barren"
    pool = DecoderPool(os.environ, (*CHILD, str(barren)))
    source = MediaSource.from_path(write_speech(tmp_path / "talk.wav", speech_samples(20)))
    wanted = here(source)
    try:
        with IsolatedDecoder(source, LIMITS, decoders=pool) as other:
            first, server = next(other), pool.process_id
            barren.touch()
            with pytest.raises(DecoderUnavailable, match="none could be started"):
                _ = [elsewhere(source, pool) for _ in range(4)]  # some were forked in advance
            barren.unlink()
            assert_same(wanted, elsewhere(source, pool))
            assert sum(map(len, other)) + len(first) == sum(map(len, wanted[0]))
        assert pool.process_id == server
    finally:
        pool.close()


READER = """
import sys
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.decoding import DecodingLimits
from autorag_whisper.isolation.decoder import IsolatedDecoder
from autorag_whisper.isolation.pool import pool
decoder = IsolatedDecoder(MediaSource.from_path(sys.argv[1]), DecodingLimits())
next(decoder)
print(pool().process_id, flush=True)
sys.stdin.read()
"""


def test_nothing_outlives_a_reader_that_is_killed(tmp_path: Path) -> None:
    source = zeros(tmp_path / "long.wav", 4000)
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(source.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        assert reader.stdout is not None
        server = psutil.Process(int(reader.stdout.readline()))
        begun = [server, *server.children()]
        assert len(begun) > 1
        reader.kill()
    _, alive = psutil.wait_procs(begun, 60)
    assert not alive


def test_many_at_once_are_each_their_own(decoders: DecoderPool, tmp_path: Path) -> None:
    places = [write_tracks(tmp_path / f"{n}.flac", [(0, n, 100 * n)], codec="flac") for n in range(1, 9)]
    sources = [MediaSource.from_path(place) for place in places]
    heard: dict[int, Heard] = {}

    def listen(number: int) -> None:
        heard[number] = elsewhere(sources[number], decoders)

    threads = [threading.Thread(target=listen, args=(number,)) for number in range(len(sources))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, source in enumerate(sources):
        assert_same(here(source), heard[number])


def test_words_are_the_same_from_a_source_that_is_isolated(tmp_path: Path) -> None:
    source = MediaSource.from_path(write_speech(tmp_path / "talk.wav", speech_samples(12)))
    world = World()
    with world.transcriber:
        wanted = world.transcriber.transcribe(source)
        isolated = world.transcriber.transcribe(source.isolated())
        assert wanted.words
        assert (isolated.words, isolated.media, isolated.notes) == (wanted.words, wanted.media, wanted.notes)
        with pytest.raises(MediaOverLimit):
            world.transcriber.transcribe(source.isolated(DecodingLimits(samples=1000)))
        with pytest.raises(MediaNotRecognised):
            world.transcriber.transcribe(MediaSource.from_bytes(b"nothing" * 100).isolated())


@pytest.mark.parametrize("name", ["channels", "samples", "memory_mb", "cpu_s", "stall_s"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "many"])
def test_a_limit_is_a_number_above_0(name: str, value: object) -> None:
    with pytest.raises(InvalidOption):
        DecodingLimits(**{name: value})  # type: ignore[arg-type]  # wrong on purpose


TEXTS = st.text(max_size=50)
COUNTS = st.integers(0, 10**6)
SECONDS = st.floats(0, 10**6)


@given(
    st.builds(
        messages.Info,
        st.builds(
            MediaInfo, TEXTS, TEXTS, COUNTS, COUNTS, COUNTS, COUNTS,
            st.lists(st.builds(AudioTrack, COUNTS, TEXTS, COUNTS, TEXTS, TEXTS, st.booleans())).map(tuple),
        ),
        st.none() | SECONDS,
    ),
    st.builds(
        messages.End,
        st.builds(MediaDamage, COUNTS, SECONDS, st.booleans()),
        st.lists(st.builds(Note, st.sampled_from(NoteKind), TEXTS)).map(tuple),
    ),
)  # fmt: skip
def test_what_is_told_arrives_as_it_was(info: messages.Info, end: messages.End) -> None:
    assert messages.info_of(messages.info_json(info)) == info
    assert messages.end_of(messages.end_json(end)) == end


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(
        ["media", "container", "tracks", "damage", "notes", "error", "fields", "kind", "text", "detail"]), inner),
)  # fmt: skip


@given(JSON.map(json.dumps).map(str.encode) | st.binary())
def test_whatever_is_said_is_read_or_refused_and_nothing_else(data: bytes) -> None:
    for read in (messages.info_of, messages.end_of, lambda data: messages.error_of(data, "a.wav")):
        try:
            found = read(data)
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        assert isinstance(found, messages.Info | messages.End | MediaError)

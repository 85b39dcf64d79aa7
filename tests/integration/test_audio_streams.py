"""Files with more than one audio stream: which one is transcribed, and what is said of the others."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from av.stream import Disposition
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.selection import choose
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.audio import AudioTrack
from autorag_whisper.domain.errors import AudioStreamNotFound, InvalidOption
from autorag_whisper.domain.notes import NoteKind
from autorag_whisper.domain.request import TranscribeOptions

if TYPE_CHECKING:
    from pathlib import Path

RATE = 16_000


def make(place: Path, tracks: list[tuple[str, str, bool, float]], codec: str = "aac") -> Path:
    """A file of the tracks (language, title, default, hertz), each two seconds of its tone; 0 Hz is silence."""
    with av.open(str(place), "w") as out:
        streams = []
        for language, title, is_default, _ in tracks:
            stream = out.add_stream(codec, rate=RATE, layout="mono")
            stream.metadata.update({"language": language} if language else {})
            stream.metadata.update({"title": title} if title else {})
            stream.disposition = Disposition.default if is_default else Disposition(0)
            streams.append(stream)
        for start in range(0, 2 * RATE, 1024):
            for stream, (*_, hertz) in zip(streams, tracks, strict=True):
                signal = 0.5 * np.sin(2 * np.pi * hertz * np.arange(start, start + 1024) / RATE)
                frame = av.AudioFrame.from_ndarray(signal.astype(np.float32)[None], "fltp", "mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
    return place


def hertz_of(place: Path, audio_stream: int | str | None) -> int:
    """The tone that is heard, rounded to 100 Hz."""
    with MediaSource.from_path(place).open() as file, MediaDecoder(file, place.name, audio_stream=audio_stream) as made:
        samples = np.concatenate(list(made))[RATE // 2 : RATE // 2 + RATE]
    return round(int(np.argmax(np.abs(np.fft.rfft(samples)))), -2)


THREE = [("ger", "", False, 300.0), ("eng", "Film", False, 600.0), ("eng", "Director's comments", False, 900.0)]


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
@pytest.mark.parametrize(
    ("wanted", "hertz"),
    [(None, 300), (0, 300), ("1", 600), ("eng", 600), ("en", 600), ("English", 600), ("EN-us", 600), ("deu", 300),
     ("German", 300), ("de", 300)],
)  # fmt: skip
def test_a_stream_is_chosen_by_number_or_by_any_name_of_its_language(
    tmp_path: Path, suffix: str, wanted: int | str | None, hertz: int
) -> None:
    options = TranscribeOptions(audio_stream=wanted)
    assert hertz_of(make(tmp_path / f"film.{suffix}", THREE), options.audio_stream) == hertz


@pytest.mark.parametrize("wanted", ["director's comments", "COMMENTS", "director"])
def test_a_stream_is_chosen_by_its_title(tmp_path: Path, wanted: str) -> None:
    assert hertz_of(make(tmp_path / "film.mkv", THREE), wanted) == 900


def test_without_a_wish_the_stream_with_the_default_flag_is_taken_as_players_do(tmp_path: Path) -> None:
    tracks = [("ger", "", False, 300.0), ("eng", "", True, 600.0), ("eng", "", False, 900.0)]
    place = make(tmp_path / "film.mkv", tracks)
    assert hertz_of(place, None) == 600
    assert hertz_of(place, 0) == 300
    assert hertz_of(make(tmp_path / "film.mp4", tracks), None) == 600


def test_a_language_that_no_stream_has_is_an_error_that_lists_the_streams(tmp_path: Path) -> None:
    place = make(tmp_path / "film.mkv", THREE)
    with pytest.raises(AudioStreamNotFound) as caught:
        hertz_of(place, "fra")
    for said in ("fra", "0 (ger)", '1 (eng, "Film")', '2 (eng, "Director\'s comments")'):
        assert said in str(caught.value)


def test_the_other_streams_are_named_in_a_note(tmp_path: Path) -> None:
    place = make(tmp_path / "film.mkv", THREE)
    with MediaSource.from_path(place).open() as file, MediaDecoder(file, "film.mkv", audio_stream=1) as decoder:
        list(decoder)
        (note,) = decoder.notes
    assert note.kind == "other_audio_streams"
    assert note.text == ('audio stream 1 (eng, "Film") was transcribed, not 0 (ger), 2 (eng, "Director\'s comments")')


@pytest.mark.parametrize("wanted", [-1, "-1", "", "  ", True])
def test_what_can_be_no_stream_is_refused_at_once(wanted: int | str) -> None:
    with pytest.raises(InvalidOption, match="audio stream"):
        TranscribeOptions(audio_stream=wanted)


tracks = st.lists(
    st.tuples(
        st.sampled_from(["", "eng", "deu", "ger", "fr", "gle"]), st.sampled_from(["", "Film", "eng"]), st.booleans()
    )
).filter(bool)


@given(tracks, st.sampled_from([None, 0, 1, "en", "de", "gle", "Film", "fra"]), st.data())
def test_the_choice_is_what_was_asked_for_and_can_be_decoded_where_any_such_can(
    made: list[tuple[str, str, bool]], wanted: int | str | None, data: st.DataObject
) -> None:
    listed = [AudioTrack(n, "aac", 1, *said) for n, said in enumerate(made)]
    readable = data.draw(st.sets(st.integers(0, len(listed) - 1)))
    try:
        chosen = listed[choose(listed, wanted, readable, "a.mkv")]
    except AudioStreamNotFound:
        assert isinstance(wanted, str) or (wanted is not None and wanted >= len(listed))
        return
    if wanted is None:
        alike = listed
    elif isinstance(wanted, int):
        alike = [listed[wanted]]
    else:
        same = {"en": {"eng"}, "de": {"deu", "ger"}, "fra": {"fr"}, "gle": {"gle"}, "Film": set()}[wanted]
        alike = [track for track in listed if track.language in same] or [chosen]
        assert chosen in alike
    rank = [(track.number in readable, track.is_default) for track in alike]
    assert (chosen.number in readable, chosen.is_default) == max(rank)


SILENT = ("", "Desktop", False, 0.0)


def notes_of(place: Path, audio_stream: int | None = None) -> dict[str, str]:
    with MediaSource.from_path(place).open() as file, MediaDecoder(file, place.name, audio_stream=audio_stream) as made:
        list(made)
        return {note.kind.value: note.text for note in made.notes}


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_a_silent_stream_beside_one_with_sound_is_told(tmp_path: Path, suffix: str) -> None:
    """A recorder writes desktop and microphone to two tracks, and nothing played on the desktop."""
    tracks = [SILENT, SILENT, ("", "Microphone", False, 300.0)]
    place = make(tmp_path / f"screen.{suffix}", tracks)
    said = notes_of(place).get("silent_audio_stream", "")
    assert "there is sound in 2" in said
    assert ("Microphone" in said) == (suffix != "ts")
    assert "silent_audio_stream" not in notes_of(place, 2)


def test_of_joined_recordings_each_is_judged_by_itself(tmp_path: Path) -> None:
    """The last one's silence was all that counted, and a first one with sound hid it."""
    loud, mute = [("", "", False, 300.0), SILENT], [SILENT, ("", "Microphone", False, 300.0)]
    data = [make(tmp_path / f"{n}.mkv", tracks).read_bytes() for n, tracks in enumerate((loud, mute, loud, mute))]
    place = tmp_path / "joined.mkv"
    place.write_bytes(b"".join(data))
    with place.open("rb") as file, MediaDecoder(file, place.name) as made:
        list(made)
        said = [note.text for note in made.notes if note.kind is NoteKind.SILENT_AUDIO_STREAM]
    assert [text.partition(" is silent")[0][-len("of recording 2") :] for text in said] == [
        "of recording 2",
        "of recording 4",
    ]


def test_silence_everywhere_and_sound_in_the_chosen_stream_are_no_news(tmp_path: Path) -> None:
    assert "silent_audio_stream" not in notes_of(make(tmp_path / "a.mkv", [SILENT, SILENT]))
    assert "silent_audio_stream" not in notes_of(make(tmp_path / "b.mkv", [("", "", False, 300.0), SILENT]))
    assert not notes_of(make(tmp_path / "c.mkv", [SILENT]))

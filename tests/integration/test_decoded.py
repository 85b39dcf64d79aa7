"""A recording that was decoded elsewhere is what it would be if it were decoded here; else it is decoded here."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pytest

from autorag_whisper.archive.sharded.decode_tasks import MOST_S, decode, is_worth_it
from autorag_whisper.archive.sharded.opening import AHEAD, Opener
from autorag_whisper.archive.sharded.rows import Row
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import MediaNotRecognised, MediaTooLong
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.isolation.decoded import Decoded, all_of
from autorag_whisper.isolation.decoder import open_decoder
from autorag_whisper.testing import speech_samples, write_speech

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.isolation.decoder import Decoder

OPTIONS = TranscribeOptions()


@dataclass(frozen=True, eq=False)
class Held:
    """What a task has, or has not, decoded of a file."""

    path: Path
    ready: Decoded | None

    def decoded(self) -> Decoded | None:
        return self.ready

    def open(self, name: str) -> BinaryIO:
        del name
        return self.path.open("rb")


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return write_speech(tmp_path / "talk.wav", speech_samples(8))


def told(decoder: Decoder) -> tuple[object, ...]:
    samples = np.concatenate(list(decoder))
    facts = (decoder.info, decoder.expected_duration_s, decoder.samples_out, decoder.damage, decoder.notes)
    return (samples.tobytes(), *facts)


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut off, with a note"])
def test_all_that_a_decoder_says_comes_back(talk: Path, cut: bool) -> None:
    if cut:
        talk.write_bytes(talk.read_bytes()[:90_000])
    source = MediaSource.from_path(talk)
    with open_decoder(source, OPTIONS) as here:
        wanted = told(here)
    sent = pickle.loads(pickle.dumps(decode(Row("a", str(talk), 7.3), OPTIONS)))
    with open_decoder(MediaSource("talk.wav", held=Held(talk, sent)), OPTIONS) as reader:
        assert told(reader) == wanted
    with open_decoder(MediaSource("talk.wav", held=Held(talk, None)), OPTIONS) as decoder:
        assert told(decoder) == wanted, "decoded here, as nobody did it"


def test_a_limit_on_the_duration_holds_for_it_too(talk: Path) -> None:
    with open_decoder(MediaSource.from_path(talk), OPTIONS) as decoder:
        ready = all_of(decoder, 60)
    short = TranscribeOptions(max_duration_s=3.0)
    with pytest.raises(MediaTooLong), open_decoder(MediaSource("talk.wav", held=Held(talk, ready)), short) as reader:
        list(reader)


def test_what_is_longer_than_is_carried_is_left(talk: Path) -> None:
    with open_decoder(MediaSource.from_path(talk), OPTIONS) as decoder:
        assert all_of(decoder, 7.0) is None


def test_what_cannot_be_decoded_is_left_to_whoever_recognises_it(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"broken")
    assert decode(Row("a", str(broken), 5.0), OPTIONS) is None
    source = MediaSource("broken.mp3", held=Held(broken, None))
    with pytest.raises(MediaNotRecognised), open_decoder(source, OPTIONS):
        pass
    assert decode(Row("b", str(tmp_path / "absent.wav"), 5.0), OPTIONS) is None


def test_only_what_is_known_to_be_short_is_decoded_ahead() -> None:
    assert is_worth_it(Row("a", "/a", MOST_S))
    assert not is_worth_it(Row("a", "/a", MOST_S + 1))
    assert not is_worth_it(Row("a", "/a"))


def test_a_few_are_begun_ahead_and_rows_keep_their_order(talk: Path) -> None:
    begun: list[str] = []

    def begin(row: Row) -> Held | None:
        if int(row.id) % 3 == 2:
            return None
        begun.append(row.id)
        return Held(talk, None)

    rows = [Row(str(n), str(talk), 7.3) for n in range(20)]
    with Opener(decode=begin) as opener:
        for place, (row, source) in enumerate(opener.sources(rows)):
            assert row is rows[place]
            assert (source.held is None) == (place % 3 == 2)
            assert all(int(one) <= place + AHEAD for one in begun), "no more is begun than is soon wanted"

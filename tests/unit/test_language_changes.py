"""Where a recording goes on in another language, its text does; where that is not sure, the result says so.

An interview began with seven seconds of an English jingle: its first chunk was sure, with a probability of 1.0, and an
hour of German came out as an English translation.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechChunk, SpeechSpan
from autorag_whisper.recognition.holes import within
from autorag_whisper.recognition.language import LEAST_TOLD, PIECE_FRAMES, Piece, piece_frames, pieces_of
from autorag_whisper.recognition.language_changes import Speaking, follow, short_turns

if TYPE_CHECKING:
    from collections.abc import Sequence


HZ = SAMPLE_RATE_HZ
SURE_EN, SURE_DE = {"en": 0.99}, {"de": 0.99}


def chunk_of(pieces: Sequence[dict[str, float]], start_s: float = 0.0, speech_s: float = 4.0) -> SpeechChunk:
    """A chunk of pieces of 5 s, each beginning with so much speech."""
    start = round(start_s * HZ)
    speech = tuple(
        SpeechSpan(start + n * 5 * HZ, start + n * 5 * HZ + round(speech_s * HZ)) for n in range(len(pieces))
    )
    return SpeechChunk(0, start, np.zeros(5 * HZ * len(pieces), np.float32), speech)


def heard(chunk: SpeechChunk, votes: Sequence[dict[str, float]]) -> tuple[Piece, ...]:
    return pieces_of(chunk, piece_frames(chunk), votes)


def languages(votes: Sequence[dict[str, float]], *, begins: str = "en", speech_s: float = 4.0) -> list[str]:
    """Of each piece, in chunks of six."""
    speaking, found = Speaking.begin(begins), list[str]()
    for n in range(0, len(votes), 6):
        part = votes[n : n + 6]
        chunk = chunk_of(part, 5.0 * n, speech_s)
        speaking, stretches = follow(speaking, chunk, heard(chunk, part))
        middles = [(2 * (n + k) + 1) * 5 * HZ // 2 for k in range(len(part))]
        found += [next(s.language for s in stretches if s.start <= middle < s.stop) for middle in middles]
    return found


def test_two_sure_pieces_change_the_language_where_they_began() -> None:
    assert languages([SURE_EN, SURE_DE, SURE_DE, SURE_DE]) == ["en", "de", "de", "de"]


def test_one_sure_piece_does_not_and_one_is_enough_to_go_back() -> None:
    assert languages([SURE_EN, SURE_EN, SURE_DE, SURE_EN]) == ["en"] * 4
    assert languages([SURE_DE, SURE_DE, SURE_EN, SURE_DE]) == ["de", "de", "en", "de"]


def test_little_speech_says_little() -> None:
    # "OK", a name or a number sounds like anything.
    assert languages([SURE_EN, SURE_DE, SURE_DE], speech_s=0.8) == ["en"] * 3


def test_pieces_that_are_sure_of_nothing_never_change_it() -> None:
    assert languages([{"zh": 0.4, "th": 0.2, "haw": 0.1}] * 60) == ["en"] * 60
    assert languages([{"de": 0.6, "en": 0.2}] * 200) == ["en"] * 200


def test_sisters_are_one_rival_from_outside_and_hardly_one_among_themselves() -> None:
    assert languages([SURE_EN, *[{"pt": 0.55, "gl": 0.4}] * 3]) == ["en", "pt", "pt", "pt"]
    assert languages([{"nn": 0.7, "no": 0.25}] * 12, begins="no") == ["no"] * 12
    assert languages([{"es": 0.99}] * 6, begins="pt") == ["es"] * 6


def test_pieces_that_are_unsure_before_it_do_not_hide_what_comes_then() -> None:
    # Polish and Swedish that sounded like nothing, then Spanish: the doubt of the first stuck to it.
    unsure = {"tl": 0.2, "sv": 0.11, "es": 0.05}
    assert languages([{"ja": 0.99}, unsure, unsure, *[{"es": 0.95}] * 3], begins="ja")[3:] == ["es"] * 3


def test_what_whisper_hardly_knows_needs_twice_the_evidence() -> None:
    assert languages([SURE_EN, {"la": 0.99}, {"la": 0.99}, SURE_EN]) == ["en"] * 4
    assert languages([SURE_EN, *[{"cy": 0.99}] * 4]) == ["en", *["cy"] * 4]


VOTES = st.lists(
    st.sampled_from([SURE_EN, SURE_DE, {"de": 0.7, "en": 0.3}, {"fr": 0.95, "de": 0.01}, {"nn": 0.3, "en": 0.2}, {}]),
    min_size=1, max_size=6,
)  # fmt: skip


@given(VOTES, st.floats(0.1, 5), st.integers(1, 4))
def test_stretches_are_all_of_the_chunk_whatever_is_heard(
    votes: list[dict[str, float]], speech_s: float, size: int
) -> None:
    speaking = Speaking.begin("en")
    for n in range(0, len(votes), size):
        part = votes[n : n + size]
        chunk = chunk_of(part, n * 5.0, speech_s)
        before = speaking
        speaking, stretches = follow(speaking, chunk, heard(chunk, part))
        assert (stretches[0].start, stretches[-1].stop) == (chunk.start, chunk.stop)
        for a, b in itertools.pairwise(stretches):
            assert a.stop == b.start
            assert a.language != b.language
        assert stretches[-1].language == speaking.language
        assert {s.language for s in stretches} <= speaking.known
        assert before.known <= speaking.known
        assert all(stretch.start < stretch.stop for stretch in stretches)


@given(VOTES, st.integers(1, 4))
def test_the_language_at_the_end_does_not_depend_on_where_chunks_begin(
    votes: list[dict[str, float]], size: int
) -> None:
    whole = chunk_of(votes)
    together, _ = follow(Speaking.begin("en"), whole, heard(whole, votes))
    apart = Speaking.begin("en")
    for n in range(0, len(votes), size):
        chunk = chunk_of(votes[n : n + size], n * 5.0)
        apart, _ = follow(apart, chunk, heard(chunk, votes[n : n + size]))
    assert (apart.language, apart.known) == (together.language, together.known)


@given(st.integers(1, 30 * HZ), st.integers(0, 10**9))
def test_pieces_are_all_of_the_chunk_side_by_side(samples: int, start: int) -> None:
    chunk = SpeechChunk(0, start, np.zeros(samples, np.float32), (SpeechSpan(start, start + samples),))
    firsts = piece_frames(chunk)
    assert all(0 <= first <= max(0, samples // 320 - PIECE_FRAMES) for first in firsts)
    pieces = pieces_of(chunk, firsts, [{"en": 0.7, "de": 0.2999, "fr": LEAST_TOLD / 2}] * len(firsts))
    assert (pieces[0].start, pieces[-1].stop) == (chunk.start, chunk.stop)
    assert all(a.stop == b.start for a, b in itertools.pairwise(pieces))
    assert sum(piece.speech_s for piece in pieces) == pytest.approx(samples / HZ)
    assert {piece.codes for piece in pieces} == {("en", "de")}


def test_of_the_allowed_languages_a_piece_has_their_shares() -> None:
    chunk = chunk_of([{}])
    [piece] = pieces_of(chunk, [0], [{"cy": 0.6, "en": 0.3, "de": 0.1}], ("en", "de"))
    assert piece.told == {"en": 0.75, "de": 0.25}
    [deaf] = pieces_of(chunk, [0], [{"cy": 1.0}], ("en", "de"))
    assert deaf.told == {}


@given(
    st.lists(st.tuples(st.integers(0, HZ), st.integers(HZ, 6 * HZ)), min_size=2, max_size=4),
    st.lists(st.sampled_from([SURE_EN, SURE_DE]), min_size=7, max_size=7),
)
def test_every_language_has_its_place_and_all_speech_is_in_one(
    spans: list[tuple[int, int]], votes: list[dict[str, float]]
) -> None:
    """In pieces of 2.5 s and more: two borders found the same pause, and no one's speech failed the whole run."""
    speech, at = list[SpeechSpan](), 0
    for pause, length in spans:
        at += pause + length
        speech.append(SpeechSpan(at - length, at))
    chunk = SpeechChunk(0, 0, np.zeros(at, np.float32), tuple(speech))
    speaking = Speaking("en", frozenset({"en", "de"}))
    _, stretches = follow(speaking, chunk, heard(chunk, votes[: len(piece_frames(chunk))]))
    assert all(stretch.start < stretch.stop for stretch in stretches)
    parts = [part for _, part in within(chunk, stretches)]
    assert sum(span.stop - span.start for part in parts for span in part.speech) == sum(
        span.stop - span.start for span in chunk.speech
    )


def test_two_changes_do_not_share_a_pause() -> None:
    length, pause = 11 * HZ, round(5.5 * HZ)
    speech = (SpeechSpan(0, pause - HZ // 10), SpeechSpan(pause + HZ // 10, length))
    chunk = SpeechChunk(0, 0, np.zeros(length, np.float32), speech)
    _, stretches = follow(Speaking("en", frozenset({"en", "de"})), chunk, heard(chunk, [SURE_EN, SURE_DE, SURE_EN]))
    assert [(s.language, s.start / HZ, s.stop / HZ) for s in stretches] == [
        ("en", 0.0, 4.0), ("de", 4.0, 7.0), ("en", 7.0, 11.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("told", "speech_s", "other"),
    [
        ({"de": 0.85, "en": 0.02}, 2.0, "de"),  # a turn of 5 s behind Spanish had 0.84 and more in ten of eleven cases
        ({"de": 0.85, "en": 0.02}, 1.5, ""),  # digits in one language had Chinese with 0.91
        ({"de": 0.75, "en": 0.02}, 4.0, ""),
        ({"de": 0.82, "en": 0.12}, 4.0, ""),
        ({"la": 0.95, "en": 0.01}, 4.0, ""),  # Whisper hardly knows it
        ({"nl": 0.85, "en": 0.05}, 4.0, "nl"),
        ({"en": 0.95}, 4.0, ""),
    ],
)
def test_what_a_piece_sounds_like_if_hardly_like_what_it_was_recognised_in(
    told: dict[str, float], speech_s: float, other: str
) -> None:
    piece = Piece(0, 5 * HZ, speech_s, tuple(told), tuple(told.values()))
    assert piece.sounds_unlike("en") == other


LIKELY_DE, LIKELY_FR = {"de": 0.85, "en": 0.05}, {"fr": 0.85, "en": 0.05}


@pytest.mark.parametrize(
    ("votes", "found"),
    [
        ([SURE_EN, LIKELY_DE, SURE_EN], ["en", "de", "en"]),
        ([SURE_EN, LIKELY_DE, LIKELY_DE], ["en", "de"]),
        ([LIKELY_DE, SURE_EN, LIKELY_FR], ["de", "en", "fr"]),
        ([LIKELY_DE, LIKELY_DE], ["de"]),
        ([SURE_EN, {"de": 0.7, "en": 0.25}, SURE_EN], []),
        ([], []),
    ],
)
def test_short_turns_are_the_pieces_that_sound_like_another_language(
    votes: list[dict[str, float]], found: list[str]
) -> None:
    chunk = chunk_of(votes) if votes else chunk_of([SURE_EN])
    turns = short_turns(chunk, heard(chunk, votes) if votes else (), "en")
    assert [turn.language for turn in turns] == found
    if turns:
        assert (turns[0].start, turns[-1].stop) == (chunk.start, chunk.stop)
        assert all(a.stop == b.start for a, b in itertools.pairwise(turns))
        assert not any(span.start < turn.start < span.stop for turn in turns[1:] for span in chunk.speech)


def test_a_turn_that_no_pause_parts_from_what_is_around_it_stays_in_its_language() -> None:
    votes = [SURE_EN, LIKELY_DE, SURE_EN]
    length = 15 * HZ
    chunk = SpeechChunk(0, 0, np.zeros(length, np.float32), (SpeechSpan(0, length),))
    assert short_turns(chunk, heard(chunk, votes), "en") == ()

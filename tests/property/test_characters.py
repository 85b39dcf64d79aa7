"""Laws of the character aligner: every word keeps its place among the tokens, and comes back with a time."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from autorag_whisper.align.characters import MAX_TOKENS, marks, scores, spell
from autorag_whisper.align.edges import word_spans
from autorag_whisper.align.pauses import SoundLevel

WORD = st.text(st.characters(exclude_categories=("Cs", "Z", "Cc")), min_size=1, max_size=12)
TEXTS = st.lists(WORD, min_size=1, max_size=20)


def code_points(text: str) -> list[int]:
    """One token a character, as Whisper has for most."""
    return [ord(character) for character in text]


def spelled_word(token_ids: tuple[int, ...], first: int, stop: int) -> str:
    return "".join(map(chr, token_ids[first:stop]))


@given(TEXTS)
def test_every_word_has_a_token_of_its_own_between_blanks(words: list[str]) -> None:
    spelled = spell(words, [(word,) for word in words], code_points)
    assert spelled is not None
    assert len(spelled.firsts) == len(spelled.stops) == len(words)
    assert spelled.stops[-1] == len(spelled.token_ids) <= MAX_TOKENS
    for first, stop in zip(spelled.firsts, spelled.stops, strict=True):
        assert first < stop
        assert spelled.token_ids[first - 1] == ord(" ")


@given(st.lists(st.from_regex(r"[a-zß]{1,9}", fullmatch=True), min_size=1, max_size=12))
def test_words_of_letters_are_spelled_as_they_are(words: list[str]) -> None:
    spelled = spell(words, [(f"“{word},",) for word in words], code_points)
    assert spelled is not None
    spans = zip(spelled.firsts, spelled.stops, strict=True)
    assert [spelled_word(spelled.token_ids, first, stop) for first, stop in spans] == words


@st.composite
def paths(draw: st.DrawFn) -> tuple[list[str], list[float], list[tuple[float, float]]]:
    """Words, a path through their tokens, and silences in order."""
    words = draw(st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True), min_size=1, max_size=8))
    count = sum(len(word) + 1 for word in words)
    steps = draw(st.lists(st.integers(0, 40), min_size=count + 1, max_size=count + 1))
    edges = sorted(draw(st.lists(st.integers(0, 400), max_size=8, unique=True)))
    quiet = [(a / 40, b / 40) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    return words, list(np.cumsum(steps) * 0.02), quiet


@given(paths())
def test_spans_are_in_order_finite_and_not_before_the_start(case: tuple[list[str], list[float], list]) -> None:
    words, starts, quiet = case
    spelled = spell(words, [(word,) for word in words], code_points)
    assert spelled is not None
    spans = word_spans(marks(spelled, np.asarray(starts), 0.008), quiet, 10.0)
    assert spans.shape == (len(words), 2)
    assert np.isfinite(spans).all()
    assert (spans[:, 0] >= 0).all()
    assert (np.diff(spans[:, 0]) >= 0).all()
    assert (spans[:, 1] >= spans[:, 0]).all()
    assert (spans[:-1, 1] <= spans[1:, 0]).all()


@given(paths())
def test_without_silences_words_start_where_their_first_letter_is_and_end_where_the_next_starts(
    case: tuple[list[str], list[float], list],
) -> None:
    words, starts, _ = case
    starts = list(np.clip(np.diff(starts, prepend=0.0), 0.06, 0.2).cumsum())  # no letter lingers, each has room
    spelled = spell(words, [(word,) for word in words], code_points)
    assert spelled is not None
    spans = word_spans(marks(spelled, np.asarray(starts), 0.0), [], 10.0)
    assert np.allclose(spans[:, 0], np.asarray(starts)[list(spelled.firsts)])
    assert np.allclose(spans[:-1, 1], spans[1:, 0])


@given(TEXTS, st.floats(-1, 2) | st.just(float("nan")))
def test_scores_are_shares_whatever_the_engine_says(words: list[str], value: float) -> None:
    spelled = spell(words, [(word,) for word in words], code_points)
    assert spelled is not None
    found = scores(spelled, np.full(len(spelled.token_ids), value, np.float32))
    assert len(found) == len(words)
    assert all(0 <= score <= 1 for score in found)


@given(st.integers(0, 3000), st.integers(0, 1000))
def test_silences_lie_in_the_audio_and_in_order(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = (rng.normal(size=count) * np.repeat(rng.choice([0.0, 0.3], count // 100 + 1), 100)[:count]).astype("f4")
    found = SoundLevel.of(samples).silences([])
    assert all(0 <= a < b <= count / 16_000 + 0.01 for a, b in found)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(found))


@example(count=8999, frames=28, seed=0)  # of the last frame 15 ms are known, which is no frame
@given(count=st.integers(0, 9000), frames=st.integers(0, 60), seed=st.integers(0, 1000))
def test_a_frame_inside_a_silence_is_quiet(count: int, frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = (rng.normal(size=count) * np.repeat(rng.choice([0.0, 0.3], count // 900 + 1), 900)[:count]).astype("f4")
    quiet = SoundLevel.of(samples).quiet_frames(frames)
    assert quiet.shape == (frames,)
    assert ((quiet >= 0) & (quiet <= 1)).all()
    known = quiet[: max(0, count // 80 - 1) // 4]
    for start, end in SoundLevel.of(samples).silences([]):
        inside = known[int(np.ceil(start / 0.02)) : int(end / 0.02)]
        assert (inside > 0.2).all()

"""What the benchmark of word times counts, on words whose figures can be told by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from benchmarks.sounds import HZ
from benchmarks.timing import made, spoken
from benchmarks.timing.figures import Tally, TimedPair
from benchmarks.timing.groups import at_pauses
from benchmarks.timing.made import at, hesitate
from benchmarks.word_times import paired, without_broken_off

if TYPE_CHECKING:
    from pathlib import Path

RIGHT = TimedPair("word", 1.0, 1.4, 1.0, 1.4)


def test_figures_of_a_group() -> None:
    tally = Tally(heard=5, overlaps=1)
    tally.add(8, [RIGHT, replace(RIGHT, start=1.01), replace(RIGHT, start=0.9), replace(RIGHT, start=0.2, end=0.8)])
    figures = tally.figures()
    assert (figures.found, figures.far, figures.overlaps, figures.placed) == (50.0, 1, 1, 75.0)
    assert figures.start.mean == pytest.approx(227.5)
    assert figures.start.within == (50.0, 50.0, 75.0, 75.0)
    # Two starts within 20 ms: of 8 words asked for 25 %, of 5 that came out 40 %.
    assert figures.f1(figures.start) == pytest.approx(2 * 25 * 40 / 65, abs=0.1)


def test_words_at_pauses_are_those_beside_long_gaps() -> None:
    timed = [at("one", 0.7, 1.0), at("two", 1.1, 1.4), at("three", 1.4, 2.0), at("four", 2.6, 3.0), at("five", 3, 3.4)]
    assert at_pauses(timed, duration_s=3.5) == {0.7, 1.4, 2.6}
    assert at_pauses(timed, duration_s=4.0) == {0.7, 1.4, 2.6, 3}


def heard(*words: tuple[dict, float, float]) -> dict[str, list[tuple[float, str, float]]]:
    """What the kit's `score.py` says of true words that came out, with the starts and ends that they have."""
    return {
        "start": [(start - word["s"], word["w"], word["s"]) for word, start, _ in words],
        "end": [(end - word["e"], word["w"], word["e"]) for word, _, end in words],
    }


def test_of_a_word_said_twice_and_written_once_the_nearer_saying_counts() -> None:
    first, second = at("The", 1.0, 1.2), at("the,", 1.5, 1.7)
    row = {"path": "f.wav", "words": [first, second]}
    [pair] = paired(row, heard((first, 1.49, 1.72))).values()
    assert (pair.true_start, pair.true_end) == (1.5, 1.7)
    assert pair.start == pytest.approx(1.49)
    both = paired(row, heard((first, 1.49, 1.5), (second, 1.5, 1.7)))
    assert [pair.true_start for pair in both.values()] == [1.0, 1.5]  # written twice: each its own


def test_a_saying_beyond_the_next_word_that_came_out_does_not_count() -> None:
    words = [at("going", 1.0, 1.3), at("else", 1.3, 1.6), at("going", 1.6, 1.9), at("on", 2.0, 2.2)]
    row = {"path": "f.wav", "words": words}
    found = paired(row, heard((words[0], 1.62, 1.9), (words[3], 2.0, 2.2)))
    assert [pair.true_start for pair in found.values()] == [1.6, 2.0]
    found = paired(row, heard((words[0], 1.62, 1.9), (words[1], 1.9, 2.0), (words[3], 2.0, 2.2)))
    assert [pair.true_start for pair in found.values()] == [1.0, 1.3, 2.0]


def test_words_that_came_out_as_one_are_one() -> None:
    words = [at("B", 1.0, 1.2), at("7", 2.5, 2.8), at("dash", 2.8, 3.0)]
    found = paired({"path": "f.wav", "words": words}, heard((words[0], 1.0, 2.8), (words[1], 1.0, 2.8)))
    assert [(pair.true_start, pair.true_end, pair.off_by) for pair in found.values()] == [
        (1.0, 2.8, pytest.approx(0.0))
    ] * 2


def test_a_word_that_came_out_with_more_in_it_lasts_as_long_as_all_that() -> None:
    words = [at("has", 1.0, 1.2), at("64", 1.2, 1.9), at("gigabytes", 1.9, 2.7), at("here", 2.7, 3.0)]
    row, result = (
        {"path": "f.wav", "words": words},
        heard((words[0], 1.0, 1.2), (words[1], 1.2, 2.7), (words[3], 2.7, 3.0)),
    )
    out = [at("has", 1.0, 1.2), at("64GB", 1.2, 2.7), at("here", 2.7, 3.0)]
    assert [(pair.true_end, pair.off_by) for pair in paired(row, result, out).values()] == [
        (1.2, pytest.approx(0.0)), (2.7, pytest.approx(0.0)), (3.0, pytest.approx(0.0)),
    ]  # fmt: skip
    out[1] = at("64", 1.2, 2.7)  # that is too long, and nothing else
    assert paired(row, result, out)[1.2].off_by == pytest.approx(0.8)


def test_a_word_that_came_out_as_several_lasts_as_long_as_they_do() -> None:
    words = [at("$40", 1.0, 1.4), at("million.", 1.4, 2.3), at("Then", 2.9, 3.1)]
    row, result = {"path": "f.wav", "words": words}, heard((words[1], 1.4, 1.8), (words[2], 2.9, 3.1))
    out = [at("40", 1.0, 1.4), at("million", 1.4, 1.8), at("dollars.", 1.8, 2.3), at("Then", 2.9, 3.1)]
    assert [pair.off_by for pair in paired(row, result, out).values()] == pytest.approx([0.0, 0.0])
    words[0] = at("Forty", 1.0, 1.4)  # nothing is written short: "dollars" is a word that nobody said
    assert paired(row, result, out)[1.4].off_by == pytest.approx(0.5)
    words[0] = at("$40", 1.0, 1.4)
    del out[2]  # that is too short, and nothing else
    assert paired(row, result, out)[1.4].off_by == pytest.approx(0.5)
    assert paired(row, result)[1.4].off_by == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("out", "off_by"),
    [
        ([("cat", 1.0, 1.1), ("bat", 1.1, 1.5)], 0.3),
        ([("uh", 1.0, 1.3), ("cat", 1.3, 1.4)], 0.3),
        ([("cat", 1.0, 1.4), ("bat", 1.15, 1.6)], 0.0),
        ([("cats", 1.0, 1.6)], 0.2),
    ],
    ids=["a wrong word behind it", "one before it", "one that overlaps", "one letter more"],
)
def test_a_word_beside_errors_is_as_far_off_as_it_is(out: list[tuple[str, float, float]], off_by: float) -> None:
    words = [at("cat", 1.0, 1.4), at("sat", 1.4, 1.6)]
    cat = next((first, last) for text, first, last in out if text.startswith("cat"))
    found = paired({"path": "f.wav", "words": words}, heard((words[0], *cat)), [at(*word) for word in out])
    assert found[1.0].off_by == pytest.approx(off_by)


def test_a_broken_off_beginning_that_is_written_as_the_word_is_not_wrong() -> None:
    words = [at("Type,", 1.0, 1.2), at("type", 2.0, 2.3), at("it", 2.3, 2.4)]
    assert without_broken_off(words, [[0.98, 1.21]]) == words[1:]
    assert without_broken_off(words, [[2.0, 2.3]]) == words  # no word behind it is the same
    assert without_broken_off(words, []) == words


@pytest.mark.parametrize("seed", range(8))
def test_hesitant_speech_has_its_words_where_its_truth_says(seed: int) -> None:
    # Each word is a level of its own between stretches of nothing, so that the samples tell which one they are.
    levels = np.linspace(0.1, 0.9, 17)
    samples = np.concatenate([np.repeat([0.0, level, 0.0], [400, 3200, 400]) for level in levels])
    words = [at(f"w{n}", 0.25 * n + 0.025, 0.25 * n + 0.225) for n in range(len(levels))]
    rng = np.random.default_rng(seed)
    pieces, placed, broken = hesitate(rng, samples, words, [np.full(HZ // 4, -1.0)])
    heard = np.concatenate(pieces)
    assert {word["w"] for word in placed} == {word["w"] for word in words}
    assert len(placed) >= len(words)
    for word in placed:
        middle = heard[int((word["s"] + word["e"]) / 2 * HZ)]
        assert middle == pytest.approx(levels[int(word["w"][1:])])
        assert heard[int((word["s"] - 0.01) * HZ)] == pytest.approx(0.0)
    for start, end in broken:
        assert heard[int((start + end) / 2 * HZ)] in levels.tolist()
        assert not any(word["s"] < end and start < word["e"] for word in placed)


@pytest.mark.slow
def test_the_spoken_sentences_lie_where_their_truth_says(tmp_path: Path) -> None:
    rows = spoken.make(tmp_path)
    assert len(rows) == len({row["path"] for row in rows}) == 168
    assert len({row["language"] for row in rows}) >= 6
    for row in rows:
        samples = made.read(tmp_path / row["path"])
        words = [word for word in row["words"] if "s" in word]
        assert len(words) >= 0.9 * len(row["words"])
        edges = [edge for word in words for edge in (word["s"], word["e"])]
        assert edges == sorted(edges)
        assert row["duration_s"] - 0.5 < edges[-1] <= row["duration_s"]
        heard = [loudness(samples, word["s"], word["e"]) for word in words]
        around = loudness(samples, edges[-1] + 0.05, row["duration_s"])
        assert min(heard) > 5 * around  # espeak-ng falls silent behind the last word


def loudness(samples: np.ndarray, start_s: float, end_s: float) -> float:
    piece = samples[round(start_s * HZ) : round(end_s * HZ)]
    return float(np.sqrt(np.mean(piece**2))) if len(piece) else 0.0

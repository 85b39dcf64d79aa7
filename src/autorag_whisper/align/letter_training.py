"""Weights of a `LetterClassifier` from encoder output and what was said: which letter each frame is, then the network.

Known are words and their times, not their letters' times. So training goes in rounds: at first the letters of a word
share its frames evenly; each classifier then tells where in its word each letter lies, and the next one learns that.
Words' edges stay where the truth has them throughout, also inside a frame: a frame that is half of each is taught so.
The last network may learn from others beside the truth (distillation; Hinton, Vinyals and Dean, 2015): what several
that began differently answer on average puts an edge a frame off by chance less often than what one answers.

numpy alone: two layers learn from an hour of speech in a minute or two of one core.
"""

from __future__ import annotations

import itertools
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.letters import SILENCE, LetterClassifier
from autorag_whisper.align.romanization import romanized
from autorag_whisper.fork_safety import at_work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FRAME_S = 0.02
_LEFT_OUT = 2.5
"""Nats that a letter without a frame costs when a word's letters are placed."""
_KEPT, _RATE, _DECAY = 0.5, 2e-3, 1e-4
_BATCH, _WARM_UP = 512, 100
_TEACHERS_SEED = 50
"""The first teacher's, counted from the course's."""
_BY_TEACHERS = np.float32(0.7)
"""The share of what is taught that teachers answered, where there are some; the rest is the truth."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Encoder output of a stretch of speech, [frames, width] of any float, and its words: symbols, start_s, end_s.

    `symbols` empty: speech of which nothing is known; its frames are not taught. `fillers`: which of the words are such
    as recognisers leave out ("um"): half of such a frame is a letter, half speech that is no word.
    `taught` [frames] or None for all: the share of each frame that counts.
    """

    encoded: NDArray[np.floating]
    words: tuple[tuple[tuple[int, ...], float, float], ...]
    fillers: frozenset[int] = frozenset()
    taught: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """How long is learnt: hidden units of the network, times through the speech in each round, seed.

    `teachers`: so many networks, each as long in learning, from which the last one learns beside the truth.
    """

    hidden: int = 160
    epochs: tuple[int, ...] = (2, 3, 6)
    seed: int = 0
    teachers: int = 0


def train(lessons: Sequence[Lesson], alphabet: tuple[str, ...], course: Course) -> LetterClassifier:
    """A classifier for the encoder of the lessons. The same lessons and course give the same weights on one machine.

    Raises ValueError where there is no lesson with a word.
    """
    if not any(lesson.words for lesson in lessons):
        message = "nothing to learn from: no lesson has a word"
        raise ValueError(message)
    found: LetterClassifier | None = None
    for number, epochs in enumerate(course.epochs):
        taught = [targets(lesson, len(alphabet) + 2, found) for lesson in lessons]
        small = number + 1 < len(course.epochs)
        this_round = Course(min(96, course.hidden) if small else course.hidden, (epochs,), course.seed + number)
        if course.teachers and not small:
            seeds = [course.seed + _TEACHERS_SEED + teacher for teacher in range(course.teachers)]
            taught = _answered(lessons, taught, alphabet, [replace(this_round, seed=seed) for seed in seeds])
        found = fit(lessons, taught, alphabet, this_round)
    assert found is not None
    return found


def spelled(word: str, alphabet: Sequence[str]) -> tuple[int, ...]:
    """The symbols of a word's letters, without accents, in Latin letters where these are known to sound like them.

    A letter of another alphabet is the last symbol.
    """
    symbol_of, found = {letter: n for n, letter in enumerate(alphabet, 1)}, list[int]()
    for character in unicodedata.normalize("NFKD", word.lower()):
        letters = character if character in symbol_of else romanized(character)
        if all(letter in symbol_of for letter in letters):
            found += [symbol_of[letter] for letter in letters]
        elif unicodedata.category(character)[0] in "LN":
            found.append(len(alphabet) + 1)
    return tuple(found)


def _answered(
    lessons: Sequence[Lesson], taught: Sequence[NDArray[np.float32]], alphabet: tuple[str, ...], teachers: list[Course]
) -> list[NDArray[np.float32]]:
    """float32[frames, symbols] for each lesson: what was `taught`, and what teachers that learnt it answer together."""
    answers = [np.zeros_like(told) for told in taught]
    for course in teachers:
        teacher = fit(lessons, taught, alphabet, course)
        for n, lesson in enumerate(lessons):
            answer = np.exp(teacher.log_probabilities(np.asarray(lesson.encoded, np.float32)))
            answers[n] += answer / np.float32(len(teachers))
    return [_BY_TEACHERS * answer + (1 - _BY_TEACHERS) * told for answer, told in zip(answers, taught, strict=True)]


# ---------------------------------------------------------------- what each frame is


def targets(lesson: Lesson, symbols: int, by: LetterClassifier | None) -> NDArray[np.float32]:
    """float32[frames, symbols]: the share of each frame that is each symbol; rows of a sum of 1.

    Letters lie in their words where `by` hears them, or share them evenly.
    """
    count = len(lesson.encoded)
    heard = None if by is None else by.log_probabilities(np.asarray(lesson.encoded, np.float32)) - 0.5 * by.prior
    rows: list[tuple[float, float, int, float]] = []
    for number, (letters, start_s, end_s) in enumerate(lesson.words):
        start, end = max(0.0, start_s / FRAME_S), min(float(count), end_s / FRAME_S)
        if end - start < 0.5 or not letters:
            continue
        share = 0.5 if number in lesson.fillers else 1.0
        rows += [(a, b, symbol, share) for a, b, symbol in _placed(letters, start, end, heard)]
        if share < 1.0:
            rows.append((start, end, symbols - 1, 1.0 - share))
    told = np.zeros((count, symbols), np.float32)
    for start, end, symbol, share in rows:
        first, last = int(start), min(count - 1, int(np.ceil(end)) - 1)
        for frame in range(first, last + 1):
            told[frame, symbol] += share * max(0.0, min(end, frame + 1) - max(start, frame))
    told[:, SILENCE] += np.maximum(0.0, 1.0 - told.sum(axis=1))
    return np.asarray(told / told.sum(axis=1, keepdims=True), np.float32)


def _placed(
    letters: Sequence[int], start: float, end: float, heard: NDArray[np.float32] | None
) -> list[tuple[float, float, int]]:
    """Where each letter lies in [start, end) frames, exact at both ends."""
    first, stop = round(start), max(round(start) + 1, round(end))
    if heard is None or stop > len(heard):
        edges = np.linspace(start, end, len(letters) + 1)
        return [(float(edges[n]), float(edges[n + 1]), letter) for n, letter in enumerate(letters)]
    path = letter_path(heard[first:stop][:, list(letters)])
    changes = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    placed = []
    for begin, until in itertools.pairwise(changes):
        a, b = (start if begin == 0 else first + begin), (end if until == len(path) else first + until)
        placed.append((float(a), float(b), letters[int(path[begin])]))
    return placed


def letter_path(heard: NDArray[np.float32]) -> NDArray[np.int64]:
    """int64[frames]: which letter each frame is, in order; up to two in a row may be left out, each at a price.

    `heard`: float32[frames, letters], how likely each is.
    """
    frames, count = heard.shape
    price = _LEFT_OUT * np.arange(3)
    best = np.full(count, -np.inf)
    best[:3] = heard[0, :3] - price[: min(3, count)]
    back = np.zeros((frames, count), np.int64)
    for frame in range(1, frames):
        ways = np.full((4, count), -np.inf)
        ways[0] = best
        for step in range(1, min(4, count)):
            ways[step, step:] = best[:-step] - _LEFT_OUT * (step - 1)
        back[frame] = ways.argmax(axis=0)
        best = ways.max(axis=0) + heard[frame]
    tail = best[max(0, count - 3) :] - price[: min(3, count)][::-1]
    state = max(0, count - 3) + int(tail.argmax())
    path = np.empty(frames, np.int64)
    for frame in range(frames - 1, -1, -1):
        path[frame] = state
        state -= int(back[frame, state])
    return path


# ---------------------------------------------------------------- the network


def fit(
    lessons: Sequence[Lesson], taught: Sequence[NDArray[np.float32]], alphabet: tuple[str, ...], course: Course
) -> LetterClassifier:
    """The network that tells `taught`, float32[frames, symbols] for each lesson, from the encoder's output."""
    frames = np.concatenate([np.asarray(lesson.encoded, np.float16) for lesson in lessons])
    told = np.concatenate(list(taught))
    weight = np.concatenate([_weights(lesson) for lesson in lessons])
    sample = frames[:: max(1, len(frames) // 50_000)].astype(np.float32)
    mean, spread = sample.mean(axis=0), sample.std(axis=0) + np.float32(1e-3)
    starts = np.cumsum([0, *(len(lesson.encoded) for lesson in lessons)])
    before, behind = np.arange(len(frames)) - 1, np.arange(len(frames)) + 1
    before[starts[:-1]], behind[starts[1:] - 1] = starts[:-1], starts[1:] - 1
    rng = np.random.default_rng(course.seed)
    network = _Network(3 * len(mean), course.hidden, told.shape[1], rng)
    places = np.flatnonzero(weight > 0)
    steps = course.epochs[0] * -(-len(places) // _BATCH)
    for _ in range(course.epochs[0]):
        order = rng.permutation(places)
        for n in range(0, len(order), _BATCH):
            some = order[n : n + _BATCH]
            around = [(frames[at].astype(np.float32) - mean) / spread for at in (before[some], some, behind[some])]
            network.step(np.concatenate(around, axis=1), told[some], weight[some], steps)
    prior = (told * weight[:, np.newaxis]).sum(axis=0) + 1.0
    return LetterClassifier(
        mean.astype(np.float32),
        spread.astype(np.float32),
        *network.parameters,
        np.log(prior / prior.sum()).astype(np.float32),
        alphabet,
    )


def _weights(lesson: Lesson) -> NDArray[np.float32]:
    return np.ones(len(lesson.encoded), np.float32) if lesson.taught is None else lesson.taught


class _Network:
    """Two layers under Adam with dropout, cross-entropy against shares."""

    def __init__(self, inputs: int, hidden: int, outputs: int, rng: np.random.Generator) -> None:
        self._rng, self._done = rng, 0
        self.parameters = (
            _start(inputs, hidden, rng),
            np.zeros(hidden, np.float32),
            _start(hidden, outputs, rng),
            np.zeros(outputs, np.float32),
        )
        self._means = [np.zeros_like(values) for values in self.parameters]
        self._squares = [np.zeros_like(values) for values in self.parameters]

    def step(
        self, inputs: NDArray[np.float32], told: NDArray[np.float32], weight: NDArray[np.float32], of_steps: int
    ) -> None:
        first, first_bias, second, second_bias = self.parameters
        with at_work():
            active = inputs @ first + first_bias
            kept = (self._rng.random(active.shape, np.float32) < _KEPT) / np.float32(_KEPT) * (active > 0)
            hidden = active * kept
            scores = hidden @ second + second_bias
            scores -= scores.max(axis=1, keepdims=True)
            likely = np.exp(scores)
            likely /= likely.sum(axis=1, keepdims=True)
            error = (likely - told) * (weight / len(weight))[:, np.newaxis]
            hidden_error = (error @ second.T) * kept
            self._move(
                (inputs.T @ hidden_error, hidden_error.sum(axis=0), hidden.T @ error, error.sum(axis=0)), of_steps
            )

    def _move(self, slopes: Sequence[NDArray[np.floating]], of_steps: int) -> None:
        self._done += 1
        rate = _RATE * min(1.0, self._done / min(_WARM_UP, 1 + of_steps // 10)) * (1.0 - 0.9 * self._done / of_steps)
        for n, (values, slope) in enumerate(zip(self.parameters, slopes, strict=True)):
            self._means[n] += np.float32(0.1) * (slope - self._means[n])
            self._squares[n] += np.float32(0.001) * (slope * slope - self._squares[n])
            size = np.sqrt(self._squares[n] / np.float32(1 - 0.999**self._done)) + np.float32(1e-8)
            step = self._means[n] / np.float32(1 - 0.9**self._done) / size + np.float32(_DECAY) * values
            np.subtract(values, np.float32(rate) * step, out=values)


def _start(inputs: int, outputs: int, rng: np.random.Generator) -> NDArray[np.float32]:
    return np.asarray(rng.standard_normal((inputs, outputs)) / np.sqrt(inputs), np.float32)

"""Speech that no word of the text has: where it is told, and where not."""

from __future__ import annotations

import numpy as np
import pytest

from autorag_whisper.align.letter_path import LetterPath, words_by_letters
from autorag_whisper.align.unspoken import unspoken
from letter_hearing import planted, reading_classifier

HEARD = "..ooonnnee....uuuuhhhhmmmm....ttwwwoo..."
CLASSIFIER = reading_classifier()
TOLD = CLASSIFIER.log_probabilities(planted(HEARD, CLASSIFIER))
WORDS = [(0.04, 0.2), (0.6, 0.74)]
EVERYWHERE = [(0.0, 0.8)]


def path_of(text: str = "one two") -> LetterPath:
    words = [[(word,)] for word in text.split()]
    found = words_by_letters(TOLD, CLASSIFIER, words, np.zeros(len(HEARD), np.float32))
    assert found is not None
    return found


def told(
    speech: list[tuple[float, float]] = EVERYWHERE, quiet: float = 1.0, words: list[tuple[float, float]] = WORDS
) -> list[tuple[float, float]]:
    silent = np.full(len(HEARD), quiet, np.float32)
    found = unspoken(path_of(), TOLD, silent, (np.asarray(words), speech), 0.02)
    return [(round(start, 3), round(stop, 3)) for start, stop in found]


def test_a_filler_between_two_words_is_told_with_its_span() -> None:
    assert told() == [(0.28, 0.52)]


def test_only_where_voice_activity_hears_a_voice() -> None:
    assert told(speech=[(0.0, 0.25), (0.55, 0.8)]) == []
    assert told(speech=[(0.0, 0.4)]) == [(0.28, 0.4)]


def test_what_a_word_has_is_none() -> None:
    assert told(words=[(0.04, 0.36), (0.44, 0.74)]) == []  # 0.08 s are the edge of a word
    assert told(words=[(0.04, 0.2), (0.4, 0.74)]) == [(0.28, 0.4)]


@pytest.mark.parametrize(("quiet", "expected"), [(0.1, [(0.28, 0.52)]), (0.9, [])])
def test_sound_that_is_like_no_letter_is_told_where_it_is_loud(
    quiet: float, expected: list[tuple[float, float]]
) -> None:
    """ "um" is half silence for the classifier: the best path has a pause there."""
    unsure = TOLD.copy()
    unsure[14:26] = np.log(np.float32(0.2 / (TOLD.shape[1] - 1)))
    unsure[14:26, 0] = np.log(np.float32(0.8))
    silent = np.full(len(HEARD), quiet, np.float32)
    path = LetterPath(np.asarray([[2.0, 10.0], [30.0, 37.0]]), [1.0, 1.0], [], 0.0)
    found = unspoken(path, unsure, silent, (WORDS, EVERYWHERE), 0.02)
    assert [(round(start, 3), round(stop, 3)) for start, stop in found] == expected


def test_a_pause_is_none_however_loud_it_is() -> None:
    """Noise: energy tells no silence, the classifier does."""
    path = LetterPath(np.asarray([[2.0, 10.0], [30.0, 37.0]]), [1.0, 1.0], [], 0.0)
    silence = np.full_like(TOLD, -20.0)
    silence[:, 0] = 0.0
    assert unspoken(path, silence, np.zeros(len(HEARD), np.float32), (WORDS, EVERYWHERE), 0.02) == []

"""How much of a sound's edges is in the noise, on speech that was heard in quiet before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.align.hidden_edges import raised_db, with_hidden_edges
from autorag_whisper.align.pauses import SoundLevel
from autorag_whisper.domain.audio import SpeechChunk, SpeechSpan
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.engines.base import CharacterHeads, Hypothesis
from autorag_whisper.recognition.aligned import LettersBy
from autorag_whisper.recognition.alignment import Alignment, Spoken
from autorag_whisper.testing import FakeWhisper
from letter_hearing import planted, reading_classifier

if TYPE_CHECKING:
    from collections.abc import Callable

HZ = 16_000
PAUSE_S, SOUND_S, SOUNDS = 0.3, 0.4, 8
RISE_DB_A_MS = 1.2
BEGINS_S = [PAUSE_S + n * (PAUSE_S + SOUND_S) for n in range(SOUNDS)]


def speech() -> np.ndarray:
    """float32[n]: sounds that rise from 40 dB under their loudest as those of voices do, by 1.2 a millisecond."""
    ms = np.arange(round(SOUND_S * HZ)) / HZ * 1000
    below_db = np.clip(40 - RISE_DB_A_MS * ms, 0, None)
    sound = np.concatenate((np.zeros(round(PAUSE_S * HZ)), 10 ** (-below_db / 20)))
    level = np.concatenate((np.tile(sound, SOUNDS), np.zeros(round(PAUSE_S * HZ))))
    return (0.1 * np.random.default_rng(2).normal(size=len(level)) * level).astype(np.float32)


def fading() -> np.ndarray:
    """float32[n]: the same backwards, so that every sound fades into the pause behind it."""
    return speech()[::-1].copy()


def white(length: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=length)


def pink(length: int) -> np.ndarray:
    spectrum = np.fft.rfft(white(length))
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 40)), length)


def gusts(length: int, swing_db: float = 20.0) -> np.ndarray:
    """Noise that comes and goes, as a crowd does: by so much, four times a second."""
    moments = np.arange(length) / HZ
    return white(length) * 10 ** (np.sin(2 * np.pi * 4 * moments) * swing_db / 40)


def beside(samples: np.ndarray, noise: Callable[[int], np.ndarray], decibels: float) -> np.ndarray:
    """float32[n]: with noise so far under it."""
    heard = noise(len(samples))
    return (samples + heard / np.std(heard) * np.std(samples) * 10 ** (-decibels / 20)).astype(np.float32)


def long_silences(samples: np.ndarray) -> tuple[SoundLevel, list[tuple[float, float]]]:
    level = SoundLevel.of(samples)
    return level, [(start, end) for start, end in level.silences([]) if end - start > 0.7 * PAUSE_S]


@pytest.mark.parametrize("noise", [white, pink])
@pytest.mark.parametrize("decibels", [10, 20])
def test_in_steady_noise_the_beginnings_of_sounds_are_heard_late_and_much_of_that_is_taken_off(
    noise: Callable[[int], np.ndarray], decibels: float
) -> None:
    level, silences = long_silences(beside(speech(), noise, decibels))
    ends = np.asarray([end for _, end in silences[:SOUNDS]])
    late = ends - BEGINS_S
    told = np.asarray([end for _, end in with_hidden_edges(silences, level)[:SOUNDS]]) - BEGINS_S
    assert np.median(late) > 0.012
    assert -0.005 < np.median(told) < 0.6 * np.median(late)


@pytest.mark.parametrize("noise", [white, pink])
@pytest.mark.parametrize("decibels", [10, 20])
def test_in_steady_noise_sounds_that_fade_before_a_pause_seem_to_end_early_and_a_third_of_that_is_put_back(
    noise: Callable[[int], np.ndarray], decibels: float
) -> None:
    level, silences = long_silences(beside(fading(), noise, decibels))
    true = np.asarray([PAUSE_S + SOUND_S + n * (PAUSE_S + SOUND_S) for n in range(SOUNDS)])
    early = np.asarray([start for start, _ in silences[-SOUNDS:]]) - true
    told = np.asarray([start for start, _ in with_hidden_edges(silences, level)[-SOUNDS:]]) - true
    assert np.median(early) < -0.012
    assert 0.7 * np.median(early) < np.median(told) < 0.005


@pytest.mark.parametrize("said", [speech(), fading()])
def test_in_quiet_nothing_is_hidden(said: np.ndarray) -> None:
    level, silences = long_silences(said)
    assert len(silences) > 5
    assert with_hidden_edges(silences, level) == silences


def test_the_nearer_the_noise_the_more_is_hidden_up_to_25_ms() -> None:
    found = []
    for decibels in (50, 30, 25, 20, 15, 10):
        level, silences = long_silences(beside(speech(), white, decibels))
        found.append(raised_db(silences, level))
    assert found == sorted(found)
    assert found[0] == 0
    assert 0 < found[1] < 9
    assert 9 < found[-1] <= 19


def test_noise_in_one_band_hides_nothing_that_another_shows() -> None:
    def rumble(length: int) -> np.ndarray:
        spectrum = np.fft.rfft(white(length))
        return np.fft.irfft(spectrum * (np.fft.rfftfreq(length, 1 / HZ) < 500), length)

    level, silences = long_silences(beside(speech(), rumble, 20))
    assert len(silences) >= SOUNDS
    assert raised_db(silences, level) == 0


@pytest.mark.parametrize(("swing_db", "known"), [(20.0, False), (3.6, False), (1.0, True)])
def test_in_noise_that_comes_and_goes_nothing_is_known(swing_db: float, known: bool) -> None:
    level = SoundLevel.of(beside(speech(), lambda length: gusts(length, swing_db), 18))
    silences = level.silences([])
    assert level.depth_db < 31
    assert len(silences) >= SOUNDS
    assert (raised_db(silences, level) > 0) == known


def test_of_little_silence_nothing_is_known() -> None:
    level, silences = long_silences(beside(speech(), white, 20))
    assert raised_db(silences, level) > 0
    start, _ = silences[0]
    assert raised_db([(start, start + 0.12)], level) == 0
    assert raised_db([], level) == 0


def noisy_silences() -> tuple[SoundLevel, list[tuple[float, float]], float, float]:
    """Level, silences, and how much of a fade and of an onset is hidden."""
    level, silences = long_silences(beside(speech(), white, 15))
    raised = raised_db(silences, level)
    assert raised > 8
    return level, silences, 0.001 * raised, 0.0013 * raised


def test_a_silence_loses_what_is_hidden_at_both_ends_and_a_short_one_at_its_end_alone() -> None:
    level, silences, fade, onset = noisy_silences()
    short, longer = (1.0, 1.098), (2.0, 2.102)
    moved = with_hidden_edges([*silences, short, longer], level)
    assert moved[-2] == (1.0, pytest.approx(1.098 - onset))
    assert moved[-1] == (pytest.approx(2.0 + fade), pytest.approx(2.102 - onset))


def test_half_of_a_short_silence_stays() -> None:
    level, silences, *_ = noisy_silences()
    moved = with_hidden_edges([*silences, (1.0, 1.01)], level)
    assert moved[-1] == (1.0, pytest.approx(1.005))


def test_no_sound_lies_before_the_first_silence_or_behind_the_last() -> None:
    level, silences, fade, onset = noisy_silences()
    assert silences[0][0] == pytest.approx(0, abs=0.006)
    assert silences[-1][1] == pytest.approx(level.duration_s, abs=0.006)
    moved = with_hidden_edges(silences, level)
    assert moved[0] == (silences[0][0], pytest.approx(silences[0][1] - onset))
    assert moved[-1] == (pytest.approx(silences[-1][0] + fade), silences[-1][1])


def test_where_energy_tells_nothing_silences_stay() -> None:
    level = SoundLevel.of(white(3 * HZ).astype(np.float32))
    assert level.above_db is None
    assert with_hidden_edges([(0.5, 1.5)], level) == [(0.5, 1.5)]


SAID = ["mary", "rolled", "the", "barrel", "over", "the", "hills", "twice"]


def edges(samples: np.ndarray, by: LettersBy) -> np.ndarray:
    """float64[words, 2]: where the words of sounds are told to begin and end, one word in each sound."""
    letters = reading_classifier(width=80)
    engine = FakeWhisper(characters=CharacterHeads(((2, 4),), late_s=0.0))
    spelled = "".join("." * 15 + "".join(c * (20 // len(word)) for c in word).ljust(20, word[-1]) for word in SAID)
    heard = np.zeros((1, 80, 3000), np.float32)
    heard[0, :, : 2 * len(spelled)] = np.repeat(planted(spelled, letters), 2, axis=0).T
    if by is LettersBy.CLASSIFIER:
        engine = engine.hearing(letters)
    chunk = SpeechChunk(0, HZ, samples, (SpeechSpan(HZ, HZ + len(samples)),))
    tokens = engine.tokenizer.encode("".join(f" {word}" for word in SAID))
    spoken = Spoken(0, chunk, "en", Hypothesis(tokens, -0.2, 0.01, cap_hit=False))
    [aligned] = Alignment(engine, TranscribeOptions()).align(engine.encode(heard), [spoken])
    assert aligned.letters is by
    return np.asarray([(timed.word.start_s, timed.word.end_s) for timed in aligned.words]) - 1.0


@pytest.mark.parametrize("by", list(LettersBy))
def test_words_at_silences_begin_and_end_where_their_hidden_edges_do(by: LettersBy) -> None:
    samples = beside(speech(), white, 20)
    level = SoundLevel.of(samples)
    silences = level.silences([])
    told = edges(samples, by)
    for edge, of_silence in ((0, 1), (1, 0)):
        seen, inner = (
            np.asarray([silence[of_silence] for silence in some if silence[1] - silence[0] >= 0.15])
            for some in (silences, with_hidden_edges(silences, level))
        )
        at = np.isclose(told[:, edge, np.newaxis], inner[np.newaxis], atol=1e-6).any(axis=1)
        assert at.sum() >= (len(SAID) if by is LettersBy.CLASSIFIER else 3)
        assert not np.isclose(told[:, edge, np.newaxis], seen[np.newaxis], atol=1e-6).any()

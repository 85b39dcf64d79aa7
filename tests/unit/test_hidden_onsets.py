"""How much of a sound's beginning is in the noise, on speech that was heard in quiet before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.align.hidden_onsets import hidden_s, with_hidden_onsets
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


def white(length: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=length)


def pink(length: int) -> np.ndarray:
    spectrum = np.fft.rfft(white(length))
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 40)), length)


def gusts(length: int) -> np.ndarray:
    """Noise that comes and goes, as a crowd does: by 20 dB, four times a second."""
    moments = np.arange(length) / HZ
    return white(length) * 10 ** (np.sin(2 * np.pi * 4 * moments) / 2)


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
    told = np.asarray([end for _, end in with_hidden_onsets(silences, level)[:SOUNDS]]) - BEGINS_S
    assert np.median(late) > 0.012
    assert -0.005 < np.median(told) < 0.6 * np.median(late)


def test_in_quiet_nothing_is_hidden() -> None:
    level, silences = long_silences(speech())
    assert len(silences) > 5
    assert with_hidden_onsets(silences, level) == silences


def test_the_nearer_the_noise_the_more_is_hidden_and_never_more_than_25_ms() -> None:
    found = []
    for decibels in (50, 30, 25, 20, 15, 10):
        level, silences = long_silences(beside(speech(), white, decibels))
        found.append(hidden_s(silences, level))
    assert found == sorted(found)
    assert found[0] == 0
    assert 0 < found[1] < 0.012
    assert 0.012 < found[-1] <= 0.025


def test_noise_in_one_band_hides_nothing_that_another_shows() -> None:
    def rumble(length: int) -> np.ndarray:
        spectrum = np.fft.rfft(white(length))
        return np.fft.irfft(spectrum * (np.fft.rfftfreq(length, 1 / HZ) < 500), length)

    level, silences = long_silences(beside(speech(), rumble, 20))
    assert len(silences) >= SOUNDS
    assert hidden_s(silences, level) == 0


def test_in_noise_that_comes_and_goes_nothing_is_known() -> None:
    level = SoundLevel.of(beside(speech(), gusts, 18))
    silences = level.silences([])
    assert level.depth_db < 31
    assert len(silences) > 10
    assert hidden_s(silences, level) == 0


def test_of_little_silence_nothing_is_known() -> None:
    level, silences = long_silences(beside(speech(), white, 20))
    assert hidden_s(silences, level) > 0
    start, _ = silences[0]
    assert hidden_s([(start, start + 0.12)], level) == 0
    assert hidden_s([], level) == 0


def test_half_of_a_short_silence_stays_and_what_ends_with_the_audio_is_left_alone() -> None:
    level, silences = long_silences(beside(speech(), white, 15))
    late = hidden_s(silences, level)
    assert late > 0.01
    last = silences[-1]
    assert last[1] == pytest.approx(level.duration_s, abs=0.006)
    moved = with_hidden_onsets([*silences[:-1], (last[0] - 0.03, last[0] - 0.02), last], level)
    assert moved[-1] == last
    assert moved[-2] == (last[0] - 0.03, pytest.approx(last[0] - 0.025))
    assert [start for start, _ in moved[:-2]] == [start for start, _ in silences[:-1]]
    assert [end - late for _, end in silences[:-1]] == pytest.approx([end for _, end in moved[:-2]])


def test_where_energy_tells_nothing_silences_stay() -> None:
    level = SoundLevel.of(white(3 * HZ).astype(np.float32))
    assert level.above_db is None
    assert with_hidden_onsets([(0.5, 1.5)], level) == [(0.5, 1.5)]


SAID = ["mary", "rolled", "the", "barrel", "over", "the", "hills", "twice"]


def starts(*, by: LettersBy) -> np.ndarray:
    """float64[words]: where the words of sounds in noise are told to begin, one word in each sound."""
    samples = beside(speech(), white, 20)
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
    return np.asarray([timed.word.start_s for timed in aligned.words]) - 1.0


@pytest.mark.parametrize("by", list(LettersBy))
def test_words_behind_silences_begin_where_their_hidden_onsets_do(by: LettersBy) -> None:
    level = SoundLevel.of(beside(speech(), white, 20))
    silences = level.silences([])
    seen, begun = (np.asarray([end for _, end in some]) for some in (silences, with_hidden_onsets(silences, level)))
    found = starts(by=by)
    behind = np.isclose(found[:, np.newaxis], begun[np.newaxis], atol=1e-6).any(axis=1)
    assert behind.sum() >= (len(SAID) if by is LettersBy.CLASSIFIER else 3)
    assert not np.isclose(found[:, np.newaxis], seen[np.newaxis], atol=1e-6).any()

"""How far apart the arrivals of a sound are in a room, on echoes that are known because they were put there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.align.reverberation import as_said, delay_s, spread_s
from autorag_whisper.domain.audio import SpeechChunk, SpeechSpan
from autorag_whisper.recognition.letter_alignment import heard_words
from ctc_speech import read_speech
from letter_hearing import planted, reading_classifier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autorag_whisper.recognition.letter_alignment import Heard

HZ = 16_000
CLIPS = {clip.name: clip.samples for clip in read_speech(Path(__file__).parents[1] / "data" / "ctc-speech")}
VOICES = sorted(CLIPS)


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(7).normal(0.0, 0.1, round(seconds * HZ)).astype(np.float32)


def in_room(samples: np.ndarray, arrivals: Sequence[tuple[float, float]]) -> np.ndarray:
    """float32[n]: the sum of the sound at each (seconds, amplitude)."""
    heard = np.zeros_like(samples)
    for late_s, amplitude in arrivals:
        late = round(late_s * HZ)
        heard[late:] += amplitude * samples[: len(samples) - late]
    return heard


def diffuse(samples: np.ndarray, direct: float, seconds: float = 0.05) -> np.ndarray:
    """float32[n]: echoes as loud at every moment of `seconds`, of which all together are as loud as 1."""
    room = np.random.default_rng(3).normal(size=round(seconds * HZ))
    room /= np.sqrt((room**2).sum())
    room[0] += direct
    return np.convolve(samples, room)[: len(samples)].astype(np.float32)


CROWD = [(0.0, 1.0), (0.0131, 0.8), (0.0214, 0.9), (0.0337, 1.0), (0.0519, 0.9)]
"""Arrivals, (seconds, amplitude), of which no two pairs are as far apart."""


@pytest.mark.parametrize("count", [4, 5])
@pytest.mark.parametrize("direct", [1.0, 2.0])
def test_echoes_spread_a_sound_by_how_late_and_how_loud_they_are(direct: float, count: int) -> None:
    """The mean distance of two arrivals, each drawn by its share of the energy."""
    arrivals = [(0.0, direct), *CROWD[1:count]]
    late_s, energy = np.asarray(arrivals).T ** np.asarray([[1], [2]])
    share = energy / energy.sum()
    apart = float(share @ np.abs(np.subtract.outer(late_s, late_s)) @ share)
    assert 0.9 * apart - 0.0005 < spread_s(in_room(noise(20.0), arrivals)) < 1.05 * apart  # less what it may be off by


def test_a_single_echo_may_be_a_pitch_and_tells_nothing() -> None:
    assert spread_s(in_room(noise(20.0), [(0.0, 1.0), (0.0203, 1.0)])) == 0.0


@pytest.mark.parametrize("voice", VOICES)
def test_near_a_microphone_words_are_heard_when_they_are_said(voice: str) -> None:
    """A voice repeats itself too, at its pitch: that is no echo."""
    assert spread_s(CLIPS[voice]) < 0.002
    assert delay_s(CLIPS[voice]) == 0.0


@pytest.mark.parametrize("voice", VOICES)
def test_across_a_room_words_are_heard_late(voice: str) -> None:
    both = np.concatenate([CLIPS[voice], CLIPS[VOICES[VOICES.index(voice) - 1]]])
    assert delay_s(diffuse(both, direct=0.0)) > 0.003


@pytest.mark.parametrize("pause_s", [0.0, 0.5, 2.0])
def test_pauses_take_nothing_of_what_is_known(pause_s: float) -> None:
    """Eight seconds of it, however long all of the audio is."""
    voice = np.concatenate([CLIPS["awb"], CLIPS["rms"]])[: 8 * HZ]
    parts = [np.concatenate([some, np.zeros(round(pause_s * HZ), np.float32)]) for some in np.split(voice, 8)]
    assert 0.006 < delay_s(diffuse(np.concatenate(parts), direct=0.0)) < 0.016


@pytest.mark.parametrize("voice", VOICES)
def test_where_the_direct_sound_leads_nothing_is_late(voice: str) -> None:
    assert delay_s(diffuse(CLIPS[voice], direct=3.0)) == 0.0


def test_however_loud_it_is_recorded() -> None:
    room = diffuse(CLIPS["slt"], direct=0.0)
    assert spread_s(room * np.float32(1e-4)) == pytest.approx(spread_s(room), rel=1e-3)


def test_noise_beside_the_voice_is_no_echo() -> None:
    voice = CLIPS["rms"]
    assert delay_s(voice + noise(len(voice) / HZ)[: len(voice)]) == 0.0


def buzz(seconds: float, hertz: float) -> np.ndarray:
    """float32[n]: of a mains cable, a screen, a telephone beside the microphone."""
    phase = np.arange(round(seconds * HZ)) / HZ * hertz % 1
    return (0.3 * np.sign(phase - 0.5) + (phase < 0.02)).astype(np.float32)


def drone(seconds: float, hertz: float) -> np.ndarray:
    """float32[n]: a voice that keeps its pitch, but for two thousandths from period to period, through a mouth."""
    rng = np.random.default_rng(2)
    at = np.cumsum(HZ / hertz * (1 + 0.002 * rng.standard_normal(round(seconds * hertz))))
    pulses = np.bincount(at[at < seconds * HZ].astype(int), minlength=round(seconds * HZ)).astype(float)
    moments = np.arange(400) / HZ
    heard = np.zeros(len(pulses))
    for start in range(0, len(pulses), HZ // 4):
        mouth = sum(np.sin(2 * np.pi * f * moments) for f in rng.uniform(300, 3800, 4)) * np.exp(-300 * moments)
        some = np.convolve(pulses[start : start + HZ // 4], mouth)[: len(pulses) - start]
        heard[start : start + len(some)] += some
    return heard.astype(np.float32)


def piano(seconds: float, hertz: float) -> np.ndarray:
    """float32[n]: notes around a pitch, three at a time, each dying away."""
    rng, moments = np.random.default_rng(5), np.arange(HZ) / HZ
    heard = np.zeros(round(seconds * HZ))
    for start in np.repeat(np.arange(0, len(heard) - HZ, HZ // 2), 3):
        pitch = hertz * 2 ** (rng.integers(0, 25) / 12)
        note = np.sin(2 * np.pi * np.outer(pitch * np.arange(1, 9), moments)) / np.arange(1, 9)[:, np.newaxis]
        heard[start : start + HZ] += note.sum(axis=0) * np.exp(-2 * moments)
    return heard.astype(np.float32)


@pytest.mark.parametrize("sound", [buzz, piano])
@pytest.mark.parametrize("hertz", [50.0, 100.0, 217.0, 440.0])
def test_tones_beside_the_voice_are_no_echo(sound: Callable[[float, float], np.ndarray], hertz: float) -> None:
    voice = np.concatenate([CLIPS["slt"], CLIPS["rms"]])
    beside = sound(len(voice) / HZ, hertz)[: len(voice)]
    for snr_db in (35, 30, 28, 25, 20, 15, 10, 5, 0, -10, -20):
        share = np.sqrt((voice**2).mean() / (beside**2).mean()) * 10 ** (-snr_db / 20)
        assert delay_s(voice + beside * np.float32(share)) == 0.0


@pytest.mark.parametrize("hertz", [60.0, 80.0, 100.0, 120.0, 200.0])
def test_a_voice_that_keeps_its_pitch_is_no_echo(hertz: float) -> None:
    assert delay_s(drone(20.0, hertz)) == 0.0


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0, np.float32), np.zeros(10 * HZ, np.float32), diffuse(noise(1.5), 0.0), noise(0.01)],
    ids=["nothing", "silence", "too short to tell", "shorter than a window"],
)
def test_of_what_does_not_tell_nothing_is_said(samples: np.ndarray) -> None:
    assert delay_s(samples) == 0.0


def test_a_word_is_never_more_than_a_frame_early() -> None:
    assert delay_s(in_room(noise(20.0), [(0.0, 1.0), (0.0041, 1.0), (0.0523, 1.0), (0.0594, 1.0)])) == 0.02


def test_of_little_sound_less_is_told_by_what_it_may_be_off() -> None:
    echoing = in_room(noise(40.0), CROWD)
    short = [spread_s(some) for some in np.split(echoing, 10)]
    whole = spread_s(echoing)
    assert min(short) > 0.9 * whole
    assert np.mean(short) < whole - 0.0002


LETTERS = (
    "..mmmaaarrryyyrrrooolllllleeedddttthhheeebbbaaarrrrrreeelllzzzzzzzzzzzzzzzzzz"
    "ooovvveeerrrttthhheeehhhiiilllllls...tttwwwiiiccceee..."
) * 3
WORDS = ["mary", "rolled", "the", "barrel", "over", "the", "hills", "twice"] * 3
"""What is said in `LETTERS`, and something else behind each "barrel"."""


def hear(samples: np.ndarray) -> Heard:
    """`WORDS` in a chunk in which `LETTERS` sound, one in 20 ms."""
    classifier, start = reading_classifier(), 5 * HZ
    chunk = SpeechChunk(0, start, samples, (SpeechSpan(start, start + len(samples)),))
    found = heard_words(classifier, planted(LETTERS, classifier), chunk, WORDS, "en", all_said=True)
    assert found is not None
    return found


def said() -> np.ndarray:
    loud = np.repeat([1e-4 if letter == "." else 1.0 for letter in LETTERS], HZ // 50).astype(np.float32)
    return noise(len(LETTERS) / 50) * loud


def test_the_words_of_a_chunk_are_told_where_they_were_said() -> None:
    echoing = in_room(said(), CROWD)
    ends, late = ([word.end_s for word in hear(samples).times] for samples in (said(), echoing))
    inside = np.arange(len(WORDS)) % 8 < 6
    assert delay_s(echoing) > 0.01
    assert np.subtract(ends, late)[inside] == pytest.approx(delay_s(echoing), abs=1e-6)


def test_what_is_heard_between_words_ends_where_the_next_one_begins() -> None:
    heard = hear(in_room(said(), CROWD))
    assert len(heard.unspoken) == 3
    overs = [word for text, word in zip(WORDS, heard.times, strict=True) if text == "over"]
    for other, over in zip(heard.unspoken, overs, strict=True):
        assert other.end_s == pytest.approx(over.start_s, abs=1e-6)


def test_what_follows_a_silence_stays_and_what_ends_before_one_moves_by_the_echo_that_fills_it() -> None:
    spans = np.asarray([(1.0, 1.4), (1.4, 2.0), (2.5, 2.9), (2.95, 3.3)])
    moved = as_said(spans, [(0.0, 1.0), (2.0, 2.5)], 0.01)
    assert moved == pytest.approx(np.asarray([(1.0, 1.39), (1.39, 1.98), (2.5, 2.89), (2.94, 3.29)]))


def test_a_start_behind_a_silence_does_not_move_into_it() -> None:
    assert as_said(np.asarray([(2.82, 3.1)]), [(1.955, 2.815)], 0.02) == pytest.approx(np.asarray([(2.815, 3.08)]))


def test_a_word_shorter_than_the_delay_keeps_half_of_itself() -> None:
    """Behind a silence it cannot begin earlier, and the next one comes."""
    moved = as_said(np.asarray([(1.0, 1.016), (1.016, 1.3)]), [(0.5, 1.0)], 0.02)
    assert moved == pytest.approx(np.asarray([(1.0, 1.008), (1.008, 1.28)]))

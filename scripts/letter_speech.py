"""Speech on which letter classifiers are trained: sentences of flite and espeak-ng, disturbed as recordings are.

A window is up to 27 s of sentences with pauses, with the exact time of every word. Each is another voice as far as
resampling makes one (pitch and formants together), another pace, level, noise, line and room. Fillers ("um"), words
said twice and words broken off are in it, because people's speech has them and a recogniser's text has not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exact_speech import RATE_HZ, EspeakSpeaker, FliteSpeaker, resample
from letter_texts import TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exact_speech import Utterance

VOICES = ("slt", "rms", "awb", "kal16", "kal")
VOICE_SHARES = (0.3, 0.3, 0.24, 0.1, 0.06)
FILLERS = ("um", "uh", "er", "uhm", "hmm", "mm", "ah")
LONGEST_S, SHORTEST_S = 27.0, 5.0
COMMON = 7000
"""So many words of the list are used: behind them are mostly pieces of words."""

OPENERS = ("well", "so", "and", "but", "I mean", "you know", "yeah", "no", "okay", "right", "oh", "then", "actually")
TAILS = ("you know", "or something", "I think", "I guess", "and stuff", "right", "and so on", "though", "really", "too")
FRAMES = (
    "I was {} {} when {} came in", "they had {} {} for the {}", "it's kind of {} but not {}", "there was this {} {}",
    "we didn't {} the {} at all", "he said that {} was {} and {}", "she's got a {} with {} on it", "you can {} the {}",
    "I don't know if {} is {}", "it took {} of {} to {}", "the {} in the {} was {}", "what about the {} {}",
    "a lot of {} are {} now", "and then I {} to the {}", "that's the {} we used to {}", "if you {} a {} you get {}",
    "my {} never {} any {}", "it would be {} to have {}", "so they {} him about the {}", "at the end of the {} we {}",
    "I've been {} for {} years", "some of the {} were {} by {}", "let me {} the {} first", "we went {} and saw {}",
)  # fmt: skip


Speaker = Callable[[], "Utterance | None"]
"""The next sentence of a voice; None where it said other words than were asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """float32[n] at 16 kHz, and `words` (text, start_s, end_s) in order.

    The times are the synthesiser's own.
    """

    samples: np.ndarray
    words: tuple[tuple[str, float, float], ...]
    language: str = "en"


class Sentences:
    """Sentences as people talk and as books have them, of words of the list, the common ones more often."""

    def __init__(self, words: Sequence[str], rng: np.random.Generator) -> None:
        self._words, self._rng = list(words[:COMMON]), rng
        weights = 1.0 / (np.arange(len(self._words)) + 60.0)
        self._weights = weights / weights.sum()

    def next(self) -> str:
        """One sentence with its full stop."""
        rng = self._rng
        if rng.random() < 0.4:
            words = self._some(int(rng.integers(3, 14)))
        else:
            frame = str(rng.choice(FRAMES))
            words = frame.format(*self._some(frame.count("{}"))).split()
            if rng.random() < 0.35:
                words = [*f"{rng.choice(OPENERS)},".split(), *words]
            if rng.random() < 0.25:
                words = [*words, *str(rng.choice(TAILS)).split()]
        if rng.random() < 0.45:
            words = self._hesitant(words)
        marked = [word + ("," if rng.random() < 0.06 and word[-1].isalpha() else "") for word in words[:-1]]
        return " ".join([*marked, words[-1].rstrip(",") + str(rng.choice((".", ".", ".", "?")))])

    def _some(self, count: int) -> list[str]:
        return [str(word) for word in self._rng.choice(self._words, size=count, p=self._weights)]

    def _hesitant(self, words: list[str]) -> list[str]:
        rng, out = self._rng, []
        for word in words:
            chance = rng.random()
            if chance < 0.09:
                out.append(str(rng.choice(FILLERS)) + str(rng.choice(("", ",", "..."))))
            elif chance < 0.15:
                out.append(word.rstrip(",") + str(rng.choice(("", ","))))
            out.append(word)
        return out


class Speakers:
    """flite's voices, each sentence at another pace and resampled to another person's pitch."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self._voices = rng, {voice: FliteSpeaker(voice) for voice in VOICES}

    def speak(self, sentence: str, voice: str, pitch: float) -> Utterance | None:
        """None where flite says other words than stand there. `pitch` 1.1 is higher by a tenth, and as fast."""
        utterance = self._voices[voice].speak(sentence, float(self._rng.uniform(0.65, 1.25)) * pitch)
        return None if utterance is None else shifted(utterance, pitch)


def shifted(utterance: Utterance, pitch: float) -> Utterance:
    """Played faster by `pitch`: shorter and higher."""
    words = tuple((text, start / pitch, end / pitch) for text, start, end in utterance.words)
    sounds = tuple((start / pitch, end / pitch, name) for start, end, name in utterance.sounds)
    return type(utterance)(resample(utterance.samples, RATE_HZ * pitch), words, sounds)


ESPEAK_VARIANTS = ("", "+f1", "+f2", "+f3", "+f4", "+f5", "+m1", "+m2", "+m3", "+m4", "+m6", "+m7", "+klatt", "+klatt3")
ENGLISH = ("en-us", "en", "en-gb-x-rp")


def english(words: Sequence[str], seconds: float, seed: int) -> Iterator[Window]:
    """Windows of flite's speech, undisturbed, until there are so many seconds of them."""
    rng = np.random.default_rng(seed)
    sentences, speakers = Sentences(words, rng), Speakers(rng)

    def voice() -> Speaker:
        name, pitch = str(rng.choice(VOICES, p=VOICE_SHARES)), float(rng.uniform(0.86, 1.18))
        return lambda: speakers.speak(sentences.next(), name, pitch)

    return _windows(voice, seconds, rng, "en")


def by_espeak(language: str, words: Sequence[str], seconds: float, seed: int) -> Iterator[Window]:
    """The same of espeak-ng. English is said in sentences of `words`, other languages in words of `TEXTS`."""
    rng = np.random.default_rng(seed)
    sentences, espeak = Sentences(words, rng), EspeakSpeaker()
    pool = TEXTS[language].split() if language in TEXTS else []

    def some() -> str:
        """A few words that follow each other in the text, and a few more."""
        starts = rng.integers(0, len(pool), int(rng.integers(2, 5)))
        chosen = [word for start in starts for word in pool[start : start + int(rng.integers(1, 5))]]
        return " ".join(chosen) + "."

    def voice() -> Speaker:
        name = str(rng.choice(ENGLISH)) if language == "en" else language
        name += str(rng.choice(ESPEAK_VARIANTS))
        pace, pitch = int(rng.integers(120, 200)), float(rng.uniform(0.92, 1.1))

        def speak() -> Utterance | None:
            utterance = espeak.speak(some() if pool else sentences.next(), name, pace)
            return None if utterance is None else shifted(utterance, pitch)

        return speak

    return _windows(voice, seconds, rng, language)


def _windows(voice: Callable[[], Speaker], seconds: float, rng: np.random.Generator, language: str) -> Iterator[Window]:
    made_s = 0.0
    while made_s < seconds:
        window = _window(voice, rng, language)
        made_s += len(window.samples) / RATE_HZ
        yield window


def _window(voice: Callable[[], Speaker], rng: np.random.Generator, language: str) -> Window:
    """One voice speaks, now and then another."""
    longest_s, at_s = float(rng.uniform(SHORTEST_S, LONGEST_S)), 0.0
    speak = voice()
    pieces: list[np.ndarray] = []
    words: list[tuple[str, float, float]] = []
    while True:
        if rng.random() < 0.15:
            speak = voice()
        utterance = speak()
        if utterance is None:
            continue
        pause = np.zeros(int((rng.exponential(0.25) + (rng.uniform(0.5, 2.5) if rng.random() < 0.2 else 0)) * RATE_HZ))
        sound = utterance.samples.astype(np.float32) / 32768
        if pieces and at_s + len(sound) / RATE_HZ > longest_s:
            samples = np.concatenate(pieces).astype(np.float32)[: int(LONGEST_S * RATE_HZ)]
            return Window(samples, tuple(words), language)
        if len(sound) / RATE_HZ > longest_s:
            continue
        words += [(text, start + at_s, end + at_s) for text, start, end in utterance.words]
        pieces += [sound, pause]
        at_s += (len(sound) + len(pause)) / RATE_HZ


# ---------------------------------------------------------------- what happens to speech on its way


def disturbed(samples: np.ndarray, rng: np.random.Generator, babble: np.ndarray | None = None) -> np.ndarray:
    """float32 of the same length: a room, a line, noise, clipping, a level; of each none, often. Times stay."""
    sound = samples.astype(np.float64)
    level = np.sqrt((sound[np.abs(sound) > 0.01] ** 2).mean()) if (np.abs(sound) > 0.01).any() else 0.05
    if rng.random() < 0.25:
        sound = in_a_room(sound, rng)
    if rng.random() < 0.4:
        sound = with_breaths(sound, level, rng)
    noise_db = rng.uniform(0, 30) if rng.random() < 0.6 else rng.uniform(35, 60)
    sound = sound + noise(len(sound), rng, babble) * level * 10 ** (-noise_db / 20)
    if rng.random() < 0.25:
        sound = by_telephone(sound, rng)
    elif rng.random() < 0.2:
        sound = band(sound, float(rng.uniform(20, 200)), float(rng.uniform(3500, 7900)))
    if rng.random() < 0.06:
        sound = np.clip(sound * 10 ** (rng.uniform(6, 20) / 20), -0.9, 0.9)
    peak = max(1e-6, float(np.abs(sound).max()))
    return (sound / peak * 10 ** (-rng.choice((rng.uniform(0, 12), rng.uniform(12, 40))) / 20)).astype(np.float32)


def noise(count: int, rng: np.random.Generator, babble: np.ndarray | None) -> np.ndarray:
    """float64[count] of level 1: from white to brown, hum, or people who talk."""
    if babble is not None and rng.random() < 0.15:
        voices = [np.roll(babble, int(rng.integers(len(babble)))) for _ in range(int(rng.integers(4, 8)))]
        made = np.resize(np.sum(voices, axis=0), count).astype(np.float64)
    else:
        hertz = np.maximum(np.fft.rfftfreq(count, 1 / RATE_HZ), 30.0)
        made = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) / hertz ** rng.uniform(0, 1.1), count)
        if rng.random() < 0.2:
            made = made / made.std() + np.sin(np.arange(count) * 2 * np.pi * rng.choice((50, 60, 100)) / RATE_HZ)
    return made / max(1e-9, np.sqrt((made**2).mean()))


def band(sound: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    """What lies between, with soft edges."""
    hertz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    passed = 1 / np.sqrt(1 + (low_hz / np.maximum(hertz, 1)) ** 6) / np.sqrt(1 + (hertz / high_hz) ** 16)
    return np.fft.irfft(np.fft.rfft(sound) * passed, len(sound))


def by_telephone(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """300 to 3400 Hz, quantised as mu-law does."""
    heard = band(sound, float(rng.uniform(200, 350)), float(rng.uniform(3000, 3600)))
    scale = max(1e-6, float(np.abs(heard).max()))
    steps = np.round(127 * np.sign(heard) * np.log1p(255 * np.abs(heard) / scale) / np.log(256)) / 127
    return np.asarray(np.sign(steps) * (256 ** np.abs(steps) - 1) / 255 * scale)


def in_a_room(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With an echo that dies away within 0.15 to 0.8 s; the direct sound stays where it is."""
    length = int(rng.uniform(0.15, 0.8) * RATE_HZ)
    echo = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    echo[: int(0.003 * RATE_HZ)] = 0
    echo *= 10 ** (-rng.uniform(0, 15) / 20) / np.sqrt((echo**2).sum())
    size = len(sound) + length
    return sound + np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(echo, size), size)[: len(sound)]


def with_breaths(sound: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """With a breath or a click in some of the pauses: sounds that are no speech."""
    out, quiet = sound.copy(), np.convolve(np.abs(sound) > 0.003, np.ones(800), "same") == 0
    edges = np.flatnonzero(np.diff(np.concatenate(([0], quiet.astype(np.int8), [0]))))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start > 0.25 * RATE_HZ and rng.random() < 0.5:
            length = min(int(rng.uniform(0.02, 0.5) * RATE_HZ), (stop - start) // 2)
            place = int(rng.integers(start, stop - length))
            shape = np.hanning(length) * noise(length, rng, None)
            out[place : place + length] += shape * level * 10 ** (-rng.uniform(8, 35) / 20)
    return out

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

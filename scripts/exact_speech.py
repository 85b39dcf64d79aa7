"""Made-up sentences spoken by flite and espeak-ng, with the exact time of every word and every sound.

Needs the shared libraries of both (Debian: `apt-get install flite espeak-ng`). The times are those that a synthesiser
itself computed before it made the sound. Neither sets terms on the speech that is made with it.
"""

from __future__ import annotations

import ctypes
import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from make_samples import Flite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RATE_HZ = 16_000
PartlyTimed = tuple[str, float | None, float | None]
"""Text, start and end in seconds."""
FLITE_VOICES = ("slt", "rms", "awb", "kal16", "kal")
ESPEAK_VOICES = ("en-us", "en", "en-us+f2", "en+m3", "en-us+f4", "en-gb-x-rp+m7")

SHORT_WORDS = (
    "the", "a", "of", "to", "and", "in", "is", "it", "that", "i", "you", "he", "was", "on", "for", "are", "as",
    "with", "his", "they", "at", "be", "this", "or", "had", "by", "but", "not", "what", "all", "we", "she", "an",
    "if", "do", "no", "so", "up", "out", "go", "him", "her", "its", "two", "has", "one", "who", "did", "my", "now",
    "our", "any", "new", "may", "say", "how", "man", "day", "get", "use", "see", "way", "too", "old", "big", "put",
    "let", "try", "ask", "low", "add", "end", "far", "run", "own", "air", "act", "off", "sea", "six", "ten", "ice",
    "eye", "us", "am", "me", "yes", "why", "it's", "don't", "can't", "i'll", "you're", "we've", "that's", "isn't",
    "she's",
)  # fmt: skip

_EVENT_END, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7
_SYNCHRONOUS, _PHONEME_EVENTS, _DO_NOT_EXIT, _UTF8, _RATE = 2, 1, 0x8000, 1, 1


@dataclass(frozen=True, slots=True)
class Utterance:
    """int16[n] at 16 kHz; `words` (text, start_s, end_s);

    `sounds` (start_s, end_s, the synthesiser's
    name for it) of every phone, pauses left out.
    """

    samples: np.ndarray
    words: tuple[tuple[str, float, float], ...]
    sounds: tuple[tuple[float, float, str], ...]


class FliteSpeaker(Flite):
    """A voice of flite at a speed: `stretch` 1.2 is slower by a fifth."""

    def __init__(self, voice: str) -> None:
        super().__init__(voice)
        self._declare("flite_feat_set_float", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float)
        self._declare("delete_utterance", None, ctypes.c_void_p)
        self._features = ctypes.cast(self._voice, ctypes.POINTER(ctypes.c_void_p))[1]  # second field of cst_voice

    def speak(self, sentence: str, stretch: float) -> Utterance | None:
        """None where flite reads the sentence as other words than stand there."""
        self._lib.flite_feat_set_float(self._features, b"duration_stretch", stretch)
        utterance = self._lib.flite_synth_text(sentence.encode(), self._voice)
        try:
            wave = self._lib.utt_wave(utterance).contents
            samples, rate_hz = np.ctypeslib.as_array(wave.samples, (wave.num_samples,)).copy(), wave.sample_rate
            tokens = self._siblings(self._relation(utterance, b"Token"))
            words = sentence.split()
            if len(tokens) != len(words) or not all(self._lib.item_daughter(token) for token in tokens):
                return None
            spans = [self._span(token) for token in tokens]
            sounds = self._sounds(utterance)
        finally:
            self._lib.delete_utterance(utterance)
        timed = tuple((word, s, e) for word, (s, e) in zip(words, spans, strict=True))
        return Utterance(resample(samples, rate_hz), timed, sounds)

    def _relation(self, utterance: int, name: bytes) -> int | None:
        head: int | None = self._lib.relation_head(self._lib.utt_relation(utterance, name))
        return head

    def _sounds(self, utterance: int) -> tuple[tuple[float, float, str], ...]:
        start_s, sounds = 0.0, []
        for segment in self._siblings(self._relation(utterance, b"Segment")):
            end_s = self._lib.ffeature_float(segment, b"end")
            name = self._lib.ffeature_string(segment, b"name").decode()
            if name != "pau":
                sounds.append((start_s, end_s, name))
            start_s = end_s
        return tuple(sounds)


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class EspeakSpeaker:
    """espeak-ng, all its voices. One a process: its library keeps its state in globals."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL("libespeak-ng.so.1")
        self._rate_hz = self._lib.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _DO_NOT_EXIT)
        self._pieces: list[np.ndarray] = []
        self._events: list[tuple[int, int, bytes, int]] = []
        self._callback = _CALLBACK(self._take)  # kept: C holds no reference
        self._lib.espeak_SetSynthCallback(self._callback)

    def speak(self, sentence: str, voice: str, words_per_minute: int) -> Utterance | None:
        """None where espeak-ng tells of other words than stand there (it joins some)."""
        return self._utterance(sentence, self._synthesized(sentence, voice, words_per_minute))

    def speak_all(self, sentence: str, voice: str, words_per_minute: int) -> tuple[np.ndarray, list[PartlyTimed]]:
        """int16[n] at 16 kHz, and every word, those that it joins ("in the") without times."""
        samples = self._synthesized(sentence, voice, words_per_minute)
        return resample(samples, self._rate_hz), self._placed(sentence, len(samples) / self._rate_hz)

    def _synthesized(self, sentence: str, voice: str, words_per_minute: int) -> np.ndarray:
        self._pieces, self._events = [], []
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice}")
        self._lib.espeak_SetParameter(_RATE, words_per_minute, 0)
        text = sentence.encode()
        self._lib.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8, None, None)
        return np.concatenate(self._pieces) if self._pieces else np.zeros(0, np.int16)

    def _take(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _EVENT_END:
            event = events[index]
            self._events.append((event.type, event.audio_position, event.id, event.text_position))
            index += 1
        return 0

    def _utterance(self, sentence: str, samples: np.ndarray) -> Utterance | None:
        """Words from the events: (word, phonemes ...) with a phoneme's event at its start, pauses named `_`."""
        words = sentence.split()
        marks: list[list[tuple[float, str]]] = []
        for kind, at_ms, name, _ in self._events:
            if kind == _EVENT_WORD:
                marks.append([])
            elif kind == _EVENT_PHONEME and marks:
                marks[-1].append((at_ms / 1000, name.decode(errors="replace")))
        if len(marks) != len(words) or not all(marks):
            return None
        flat = [mark for word in marks for mark in word] + [(len(samples) / self._rate_hz, "_")]
        sounds = tuple(
            (start, stop, "espeak " + name)
            for (start, name), (stop, _) in pairwise(flat)
            if stop > start and not name.startswith("_")
        )
        timed = []
        for word, own in zip(words, marks, strict=True):
            inside = [s for s in sounds if own[0][0] <= s[0] <= own[-1][0]]
            if not inside:
                return None
            timed.append((word, inside[0][0], inside[-1][1]))
        if any(left[2] > right[1] for left, right in pairwise(timed)):
            return None
        return Utterance(resample(samples, self._rate_hz), tuple(timed), sounds)

    def _placed(self, sentence: str, duration_s: float) -> list[PartlyTimed]:
        """By the places in the text that its events tell: of a word without one the word before it holds the sounds."""
        starts = [found.start() for found in re.finditer(r"\S+", sentence)]
        marks: list[tuple[int, float, str]] = []  # number of the word, seconds, name of the sound
        words = set()
        number = 0
        for kind, at_ms, name, place in self._events:
            if kind == _EVENT_WORD:
                number = bisect_right(starts, place - 1) - 1
                words.add(number)
            elif kind == _EVENT_PHONEME:
                marks.append((number, at_ms / 1000, name.decode(errors="replace")))
        ends = [at_s for _, at_s, _ in marks[1:]] + [duration_s]
        placed = []
        for n, word in enumerate(sentence.split()):
            own = [
                (s, e)
                for (of, s, name), e in zip(marks, ends, strict=True)
                if of == n and e > s and not name.startswith("_")
            ]
            alone = n in words and (n + 1 in words or n + 1 == len(starts)) and own
            placed.append((word, own[0][0], own[-1][1]) if alone else (word, None, None))
        return placed


def resample(samples: np.ndarray, rate_hz: float) -> np.ndarray:
    """int16 at `rate_hz` to int16 at 16 kHz, by cutting or padding the spectrum of the whole."""
    if rate_hz == RATE_HZ:
        return samples.astype(np.int16)
    count = round(len(samples) * RATE_HZ / rate_hz)
    spectrum = np.fft.rfft(samples.astype(np.float64))
    fitted = np.zeros(count // 2 + 1, complex)
    kept = min(len(fitted), len(spectrum))
    fitted[:kept] = spectrum[:kept]
    made = np.fft.irfft(fitted, count) * (count / max(1, len(samples)))
    return np.clip(np.round(made), -32768, 32767).astype(np.int16)


def word_list(tokenizer_json: Path) -> list[str]:
    """English words and pieces of words, the commonest first: what Whisper's tokenizer has as one token each."""
    vocabulary = json.loads(tokenizer_json.read_text(encoding="utf-8"))["model"]["vocab"]
    ranked = sorted(vocabulary.items(), key=lambda item: item[1])
    words = (token[1:].lower() for token, _ in ranked if re.fullmatch("\u0120[A-Za-z]{4,}", token))
    # Short tokens are mostly pieces, and long ones without a vowel abbreviations that would be spelled out.
    return [*SHORT_WORDS, *dict.fromkeys(word for word in words if re.search("[aeiouy]", word))]


def sentences(words: list[str], rng: np.random.Generator) -> Iterator[str]:
    """Sentences without sense: common words more often, commas here and there, a full stop."""
    weights = 1.0 / (np.arange(len(words)) + 40.0)
    weights /= weights.sum()
    while True:
        chosen = [str(word) for word in rng.choice(words, size=int(rng.integers(3, 13)), p=weights)]
        marks = [("," if rng.random() < 0.12 else "") for _ in chosen[:-1]] + ["."]
        yield " ".join(word + mark for word, mark in zip(chosen, marks, strict=True))

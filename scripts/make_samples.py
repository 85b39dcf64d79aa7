#!/usr/bin/env python3
"""Make samples/demo.flac and samples/demo.words.json again, from the text below.

Needs flite's shared libraries (Debian: `apt-get install flite`) and the project's own `.venv` for numpy and PyAV:

    .venv/bin/python scripts/make_samples.py

The word times are exact: they are the segment ends that flite itself computed before it made the sound.
"""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

import av
import numpy as np

SENTENCES = (
    "On June 14, 1969, we sold 350 tickets for $25 each.",  # digits of four kinds: day, year, count, money
    "The doors open at 7, so please come early.",
)
PAUSE_S = 1.6
"""Silence between the sentences: long enough that a recogniser must not smear a word over it."""

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
VOICE = "slt"  # CMU ARCTIC; its licence sets no terms on the speech made with it

FIRST_SEGMENT_STARTS = b"R:SylStructure.daughter1.daughter1.R:Segment.p.end"
LAST_SEGMENT_ENDS = b"R:SylStructure.daughtern.daughtern.R:Segment.end"


class _Wave(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    ]


class Flite:
    """As much of flite's C interface as tells what it said and when."""

    def __init__(self, voice: str) -> None:
        pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float
        self._lib = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
        self._declare("flite_init", ctypes.c_int)
        self._declare("flite_synth_text", pointer, text, pointer)
        self._declare("utt_wave", ctypes.POINTER(_Wave), pointer)
        self._declare("utt_relation", pointer, pointer, text)
        self._declare("relation_head", pointer, pointer)
        self._declare("item_next", pointer, pointer)
        self._declare("item_daughter", pointer, pointer)
        self._declare("ffeature_string", text, pointer, text)
        self._declare("ffeature_float", number, pointer, text)
        self._lib.flite_init()
        register = ctypes.CDLL(f"libflite_cmu_us_{voice}.so.1")[f"register_cmu_us_{voice}"]
        register.restype, register.argtypes = pointer, [pointer]
        self._voice = register(None)

    def _declare(self, name: str, result: Any, *arguments: Any) -> None:
        function = self._lib[name]
        function.restype, function.argtypes = result, list(arguments)
        setattr(self._lib, name, function)

    def say(self, sentence: str) -> tuple[np.ndarray, int, list[dict[str, Any]]]:
        """(samples int16 mono, their rate, the written words with times)."""
        utterance = self._lib.flite_synth_text(sentence.encode(), self._voice)
        wave = self._lib.utt_wave(utterance).contents
        samples = np.ctypeslib.as_array(wave.samples, (wave.num_samples,)).copy()
        tokens = self._siblings(self._lib.relation_head(self._lib.utt_relation(utterance, b"Token")))
        spans = [self._span(token) for token in tokens]
        words = [{"w": w, "s": s, "e": e} for w, (s, e) in zip(sentence.split(), spans, strict=True)]
        return samples, wave.sample_rate, words

    def _span(self, token: int) -> tuple[float, float]:
        """A written word's span: from its first spoken word's first segment to its last one's last."""
        spoken = self._siblings(self._lib.item_daughter(token))
        start_s = self._lib.ffeature_float(spoken[0], FIRST_SEGMENT_STARTS)
        return start_s, self._lib.ffeature_float(spoken[-1], LAST_SEGMENT_ENDS)

    def _siblings(self, item: int | None) -> list[int]:
        items = []
        while item:
            items.append(item)
            item = self._lib.item_next(item)
        return items


def write_flac(path: Path, samples: np.ndarray, rate_hz: int) -> None:
    """Write mono int16 samples."""
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="s16", layout="mono")
        frame.sample_rate = rate_hz
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def main() -> None:
    """Speak the sentences one after the other, with the pause between them."""
    flite = Flite(VOICE)
    pieces: list[np.ndarray] = []
    words: list[dict[str, Any]] = []
    offset = rate_hz = 0
    for sentence in SENTENCES:
        if pieces:
            pause = np.zeros(round(PAUSE_S * rate_hz), np.int16)
            pieces.append(pause)
            offset += len(pause)
        samples, rate_hz, spoken = flite.say(sentence)
        for word in spoken:
            start_s, end_s = (round(offset / rate_hz + word[key], 3) for key in ("s", "e"))
            words.append({"w": word["w"], "s": start_s, "e": end_s})
        pieces.append(samples)
        offset += len(samples)
    write_flac(SAMPLES / "demo.flac", np.concatenate(pieces), rate_hz)
    lines = ",\n".join("    " + json.dumps(word) for word in words)
    head = f'  "language": "en",\n  "duration_s": {offset / rate_hz},\n  "text": {json.dumps(" ".join(SENTENCES))},\n'
    (SAMPLES / "demo.words.json").write_text(f'{{\n{head}  "words": [\n{lines}\n  ]\n}}\n', encoding="utf-8")
    print(f"{SAMPLES / 'demo.flac'}: {len(words)} words, {offset / rate_hz:.2f} s")


if __name__ == "__main__":
    main()

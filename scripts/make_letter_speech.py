#!/usr/bin/env python3
"""Make the speech on which letter classifiers are calibrated for models that none is shipped for.

Needs flite and espeak-ng (Debian: `apt-get install flite espeak-ng`), the model base for its list of words, and the
project's own `.venv`:

    .venv/bin/python scripts/make_letter_speech.py

Written are `letter_speech.opus` and `letter_speech.json` in `src/autorag_whisper/loading`. Every word's time is the
synthesiser's own.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import av
import numpy as np

from autorag_whisper.models.store import ModelStore
from exact_speech import RATE_HZ, word_list
from letter_speech import Window, by_espeak, english
from letter_texts import TEXTS

ENGLISH_S, ESPEAK_ENGLISH_S, OTHERS_S = 480.0, 25.0, 8.0
SEED = 500
BITS_PER_S = 16_000
GAP_S = 0.5
"""Silence between windows in the file: what the codec smears reaches no other window."""
PLACE = Path(__file__).resolve().parents[1] / "src" / "autorag_whisper" / "loading"


def spoken(words: list[str]) -> list[Window]:
    """English by flite and espeak-ng, and a little of each other language."""
    made = [*english(words, ENGLISH_S, SEED), *by_espeak("en", words, ESPEAK_ENGLISH_S, SEED + 1)]
    for number, language in enumerate(TEXTS):
        made += by_espeak(language, words, OTHERS_S, SEED + 2 + number)
    return made


def write_opus(path: Path, samples: np.ndarray) -> None:
    """Write float32 mono samples at 16 kHz."""
    with av.open(str(path), "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=RATE_HZ, layout="mono", options={"b": str(BITS_PER_S)})
        pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[np.newaxis, :], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def main() -> None:
    """Speak, and write sound and words."""
    folder = ModelStore(environ=dict(os.environ), offline=True).resolve("base", download=False).folder
    pieces: list[np.ndarray] = []
    rows, at_s = [], 0.0
    for window in spoken(word_list(folder / "tokenizer.json")):
        end_s = at_s + len(window.samples) / RATE_HZ
        words = [[text, round(start, 4), round(end, 4)] for text, start, end in window.words]
        rows.append({"start_s": round(at_s, 4), "end_s": round(end_s, 4), "language": window.language, "words": words})
        pieces += [window.samples * 0.9, np.zeros(round(GAP_S * RATE_HZ), np.float32)]
        at_s = end_s + GAP_S
    audio = np.concatenate(pieces)
    audio += np.random.default_rng(SEED).normal(0, 10 ** (-70 / 20), len(audio)).astype(np.float32)
    write_opus(PLACE / "letter_speech.opus", audio)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    (PLACE / "letter_speech.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{len(rows)} windows, {sum(len(row['words']) for row in rows)} words, {len(audio) / RATE_HZ:.0f} s")


if __name__ == "__main__":
    main()

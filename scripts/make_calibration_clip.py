#!/usr/bin/env python3
"""Make the clip on which a model without known alignment heads is calibrated, and its exact word times.

Needs flite's shared libraries (Debian: `apt-get install flite`) and the project's own `.venv`:

    .venv/bin/python scripts/make_calibration_clip.py

Written are `calibration.flac` and `calibration.json` in `src/autorag_whisper/loading`. The sentences are none of
any test's.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from find_alignment_heads import resampled
from make_samples import Flite, write_flac

SENTENCES = (
    "The harbour was quiet that morning, and only two boats had left before the fog came in.",
    "Her brother repairs violins in a tiny workshop behind the railway station.",
    "What the report does not mention is how little money was actually spent.",
    "We drove through the night, stopped once for coffee, and reached the coast at dawn.",
)
VOICES = ("slt", "rms")
RATE_HZ = 16_000
PAUSE_S = 0.4
PLACE = Path(__file__).resolve().parents[1] / "src" / "autorag_whisper" / "loading"


def main() -> None:
    """Speak the sentences in turns, with a little noise under them: digital silence is no pause that people make."""
    voices = [Flite(voice) for voice in VOICES]
    pieces: list[np.ndarray] = []
    words: list[list[object]] = []
    for n, sentence in enumerate(SENTENCES):
        offset_s = sum(map(len, pieces)) / RATE_HZ
        samples, rate_hz, spoken = voices[n % len(voices)].say(sentence)
        words += [[word["w"], round(offset_s + word["s"], 3), round(offset_s + word["e"], 3)] for word in spoken]
        pieces += [resampled(samples, rate_hz), np.zeros(round(PAUSE_S * RATE_HZ), np.float32)]
    audio = np.concatenate(pieces)
    audio += np.random.default_rng(1).normal(0, 10 ** (-65 / 20), len(audio))
    write_flac(PLACE / "calibration.flac", (np.clip(audio, -1, 1) * 32767).astype(np.int16), RATE_HZ)
    lines = ",\n".join(" " + json.dumps(word) for word in words)
    (PLACE / "calibration.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{len(words)} words, {len(audio) / RATE_HZ:.1f} s")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Make tests/data/spoken_N.opus and spoken_N.json: other languages with the exact time of every word.

    apt-get install flite espeak-ng
    .venv/bin/python scripts/make_spoken.py --turn 0
    .venv/bin/python scripts/make_spoken.py --turn 5         # every sentence by another voice at the other speed

espeak-ng speaks the sentences of `spoken_texts.py`, each by one of three voices at one of two speeds, in turns. The
times are those that it computed before it made the sound; words that it speaks as one ("in the") would have none.
`benchmarks/timing/spoken.py` cuts the files again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import av
import numpy as np

from exact_speech import RATE_HZ, EspeakSpeaker
from spoken_texts import TEXTS

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
VOICES, SPEEDS = ("", "+m3", "+m1"), (135, 150)
GAP_S = 0.5
BIT_RATE = 32_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DATA)
    parser.add_argument("--turn", type=int, required=True, help="how far the voices and speeds are turned on")
    given = parser.parse_args()
    speaker, rows, pieces, at = EspeakSpeaker(), [], [], 0
    for language, text in TEXTS.items():
        for n, sentence in enumerate(line.strip() for line in text.splitlines()):
            which = n + given.turn
            voice, speed = VOICES[which % len(VOICES)], SPEEDS[which % len(SPEEDS)]
            samples, timed = speaker.speak_all(sentence, language + voice, speed)
            words = [[w, s and round(s, 4), e and round(e, 4)] for w, s, e in timed]
            name = f"{language}{n + 1:02}{voice.replace('+', '_')}"
            rows.append({"name": name, "language": language, "first": at, "samples": len(samples), "words": words})
            pieces += [samples, np.zeros(int(GAP_S * RATE_HZ), np.int16)]
            at += len(pieces[-2]) + len(pieces[-1])
    written = given.folder / f"spoken_{given.turn}.opus"
    write(written, np.concatenate(pieces))
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    written.with_suffix(".json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    times = [word[1] is not None for row in rows for word in row["words"]]
    print(f"{len(rows)} sentences, {len(times)} words, {sum(times)} with times, {at / RATE_HZ / 60:.1f} minutes")


def write(path: Path, samples: np.ndarray) -> None:
    """int16[n] at 16 kHz, as Ogg Opus."""
    with av.open(path, "w", format="ogg") as file:
        stream = file.add_stream("libopus", rate=RATE_HZ, layout="mono")
        stream.bit_rate = BIT_RATE
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)


if __name__ == "__main__":
    main()

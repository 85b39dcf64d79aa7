"""What the service makes of clips under five seconds in which voice activity finds nothing: it hears all of them.

    .venv/bin/python -m benchmarks.short_clips [--model base] [--seed 1]

Every kind of sound of `sounds.py` in which nobody speaks, at several lengths and levels: each word is invented.
Printed: how many clips there are, in how many voice activity found nothing, and what was invented where it found
something and where it did not.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from autorag_whisper import TranscribeOptions
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.server.work import may_be_unheard

sys.path.insert(0, str(Path(__file__).parent))
from sounds import HZ, SOUNDS, unit

LENGTHS_S = (0.5, 1.5, 3.0, 4.9)
LEVELS_DB = (-20, -40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    options = TranscribeOptions()
    counts = {"clips": 0, "unheard": 0, "invented_where_heard": 0, "invented_where_unheard": 0}
    with build_transcriber() as transcriber:
        for kind, sound in SOUNDS.items():
            for length_s in LENGTHS_S:
                for level_db in LEVELS_DB:
                    rng = np.random.default_rng(
                        [given.seed, zlib.crc32(kind.encode()), -level_db, round(length_s * 10)]
                    )
                    samples = unit(sound(rng, round(length_s * HZ))) * 10 ** (level_db / 20)
                    clip = MediaSource.from_samples(np.clip(samples, -1, 1).astype(np.float32), HZ, name=kind)
                    told = transcriber.transcribe(clip, options, model=given.model)
                    counts["clips"] += 1
                    where = "invented_where_heard"
                    if may_be_unheard(told, options):
                        counts["unheard"] += 1
                        where = "invented_where_unheard"
                        told = transcriber.transcribe(clip, replace(options, vad=False), model=given.model)
                    if words := [word.text for word in told.words]:
                        counts[where] += len(words)
                        print(f"{kind} {length_s} s {level_db} dB {where}: {told.language} {' '.join(words)}")
    print(json.dumps({"model": given.model, "seed": given.seed, **counts}))


if __name__ == "__main__":
    main()

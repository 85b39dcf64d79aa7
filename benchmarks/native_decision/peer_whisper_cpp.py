"""A whole recording by whisper.cpp on one thread. Run in the peers' environment:

python peer_whisper_cpp.py FOLDER float16 BEAMS
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from pywhispercpp.model import Model


def main() -> None:
    folder, kind, beams = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    samples = np.load(folder / "window.npz")["samples"]
    more = {"params_sampling_strategy": 1} if beams > 1 else {}
    model = Model(str(folder / f"ggml-{kind}.bin"), n_threads=1, print_progress=False, print_realtime=False, **more)
    options = {"language": "en", "token_timestamps": True}
    options |= {"beam_search": {"beam_size": beams, "patience": -1.0}} if beams > 1 else {"greedy": {"best_of": 1}}
    began, wall = time.process_time(), time.perf_counter()
    found = model.transcribe(samples, **options)
    spent = time.process_time() - began
    text = " ".join(segment.text.strip() for segment in found)
    seconds = len(samples) / 16_000
    print(json.dumps({"cost": spent / seconds, "wall_s": time.perf_counter() - wall, "seconds": seconds, "text": text}))


if __name__ == "__main__":
    main()

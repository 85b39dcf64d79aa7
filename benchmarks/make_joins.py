"""Write recordings in which the voice or the recording changes: clips of the kit, two or three behind one another.

    .venv/bin/python benchmarks/make_joins.py FOLDER --kit KIT [--seed 1] [--joins 40]

| kind | what changes between two clips |
|---|---|
| same | nothing: the same speaker in the same recording |
| voice | the speaker and the recording, at the same level |
| level | the same, the later clips 12 dB quieter or louder |
| telephone | the later clips have a telephone's band |
| music | music lies in the gap |

Gaps of 0.3 to 3 s of faint noise. Each clip is also written alone: what is not recognised alone is not lost by a join.
`lost_utterances.py` counts. Odd seeds were used for choosing rules, even ones are kept for testing.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from whisper_normalizer.english import EnglishTextNormalizer

from autorag_whisper.audio.decode import MediaDecoder
from make_no_speech import write
from sounds import HZ, Signal, piano

_NORMAL = EnglishTextNormalizer()
LONGEST_S, SHORTEST_S = 9.0, 1.4
LEVEL, FLOOR = 0.05, 1e-4
KINDS = ("same", "voice", "voice", "level", "telephone", "music")
"""As often as they stand here."""


@dataclass(frozen=True, slots=True)
class Clip:
    """An utterance of the kit. Clips of one `speaker` are of one recording session."""

    name: str
    speaker: str
    text: str
    samples: Signal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kit", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--joins", type=int, default=40)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(arguments.seed)
    clips = kit_clips(arguments.kit / "real")
    rows = [alone(arguments.folder, clip) for clip in clips]
    rows += [join(arguments.folder, number, rng, clips) for number in range(arguments.joins)]
    manifest = arguments.folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(f"{len(rows)} files, {sum(row['duration_s'] for row in rows) / 60:.1f} minutes: {manifest}")


def kit_clips(folder: Path) -> list[Clip]:
    """Short English utterances that are not noisy, with the text that was said."""
    found = []
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        is_short = SHORTEST_S < row["duration_s"] < LONGEST_S and row["language"].startswith("en")
        if not is_short or row["ref_trust"] != "verbatim" or {"noisy", "overlap", "voice-quality"} & set(row["tags"]):
            continue
        with (folder / row["path"]).open("rb") as file, MediaDecoder(file, row["path"]) as decoder:
            samples = np.concatenate(list(decoder))
        if any(character.isdigit() for character in _NORMAL(row["text"])):  # 1 2 3 and 123 are the same
            continue
        # Of a name such as lj_LJ001-0005 the beginning tells the session.
        speaker = row["path"].split("-")[0].rsplit("_", 1)[0] if "-" in row["path"] else row["path"].split("_")[0]
        found.append(Clip(Path(row["path"]).stem, speaker, row["text"], levelled(samples)))
    return found


def alone(folder: Path, clip: Clip) -> dict[str, Any]:
    path = f"alone_{clip.name}.wav"
    write(folder / path, clip.samples)
    utterances = [{"clip": clip.name, "text": clip.text, "start_s": 0.0, "end_s": len(clip.samples) / HZ}]
    return {"path": path, "language": "en", "kind": "alone", "duration_s": len(clip.samples) / HZ, "text": clip.text,
            "utterances": utterances}  # fmt: skip


def join(folder: Path, number: int, rng: np.random.Generator, clips: list[Clip]) -> dict[str, Any]:
    kind = KINDS[number % len(KINDS)]
    pieces: list[Signal] = [rng.standard_normal(HZ // 5) * FLOOR]
    utterances = []
    for place, clip in enumerate(chosen(rng, kind, clips)):
        if place:
            pieces.append(gap(rng, kind))
        start = sum(map(len, pieces))
        samples = changed(rng, kind, clip.samples) if place else clip.samples
        pieces.append(samples + rng.standard_normal(len(samples)) * FLOOR)
        span = {"start_s": start / HZ, "end_s": (start + len(samples)) / HZ}
        utterances.append({"clip": clip.name, "text": clip.text, **span})
    samples = np.concatenate([*pieces, rng.standard_normal(HZ // 3) * FLOOR])
    path = f"join_{number:03}_{kind}.wav"
    write(folder / path, np.clip(samples, -1, 1))
    text = " ".join(utterance["text"] for utterance in utterances)
    return {"path": path, "language": "en", "kind": kind, "duration_s": len(samples) / HZ, "text": text,
            "utterances": utterances}  # fmt: skip


def chosen(rng: np.random.Generator, kind: str, clips: list[Clip]) -> list[Clip]:
    """Two or three clips: of one speaker where nothing changes, else each of another."""
    by_speaker: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_speaker[clip.speaker].append(clip)
    count = int(rng.integers(2, 4))
    if kind == "same":
        many = [own for own in by_speaker.values() if len(own) >= count]
        own = many[int(rng.integers(len(many)))]
        return [own[int(n)] for n in rng.choice(len(own), count, replace=False)]
    speakers = rng.choice(sorted(by_speaker), count, replace=False)
    return [by_speaker[speaker][int(rng.integers(len(by_speaker[speaker])))] for speaker in speakers]


def gap(rng: np.random.Generator, kind: str) -> Signal:
    samples = rng.standard_normal(int(rng.uniform(0.3, 3.0) * HZ)) * FLOOR
    if kind == "music":
        samples = samples + levelled(piano(rng, len(samples))) / 2
    return samples


def changed(rng: np.random.Generator, kind: str, samples: Signal) -> Signal:
    if kind == "level":
        return samples * 10 ** (rng.choice([-12, 12]) / 20)
    return levelled(telephone(samples)) if kind == "telephone" else samples


def levelled(samples: Signal) -> Signal:
    """At the same power as every other clip."""
    return samples * LEVEL / np.sqrt(np.mean(samples**2))


def telephone(samples: Signal) -> Signal:
    """What lies between 300 and 3,400 Hz."""
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / HZ)
    return np.fft.irfft(np.where((hz > 300) & (hz < 3400), spectrum, 0), len(samples))


if __name__ == "__main__":
    main()

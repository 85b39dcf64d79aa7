"""Write recordings in which nobody speaks, each kind at several levels, with a manifest: whatever is heard is invented.

    .venv/bin/python benchmarks/make_no_speech.py FOLDER [--seed 1] [--real FOLDER_OF_SOUNDS]

The same seed gives the same bytes. `--real` takes copies of real sounds along (music, effects) from a folder, as they
are: `real_sounds.sh` fetches one of free sounds from Debian's packages.
"""

from __future__ import annotations

import argparse
import json
import shutil
import wave
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sounds import HZ, SOUNDS, unit

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS_DB = (-12, -24, -36, -50)
"""RMS of full scale; peaks that would clip are limited."""
_MEDIA = {".wav", ".ogg", ".oga", ".opus", ".flac", ".mp3"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rows = list(synthetic(arguments.folder, arguments.seed))
    if arguments.real:
        rows += real(arguments.folder, arguments.real)
    manifest = arguments.folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(f"{len(rows)} files, {sum(row['duration_s'] for row in rows) / 60:.1f} minutes: {manifest}")


def synthetic(folder: Path, seed: int) -> Iterator[dict[str, object]]:
    for kind, sound in SOUNDS.items():
        levels = (-120,) if kind == "silence" else (-90,) if kind == "dither" else LEVELS_DB
        for level_db in levels:
            rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), -level_db])
            duration_s = length_s(kind, rng)
            samples = unit(sound(rng, round(duration_s * HZ))) * 10 ** (level_db / 20)
            path = folder / f"{kind}_{-level_db:02d}dB.wav"
            write(path, samples)
            yield row(path, duration_s, [kind, f"{level_db}dBFS"])


def length_s(kind: str, rng: np.random.Generator) -> float:
    """5 to 15 s, now and then up to a minute; an ambience takes two minutes."""
    if kind == "ambience":
        return 120.0
    return round(float(rng.uniform(5, 15) if rng.random() < 0.8 else rng.uniform(35, 60)), 2)


def real(folder: Path, sounds: Path) -> Iterator[dict[str, object]]:
    for number, path in enumerate(sorted(p for p in sounds.rglob("*") if p.suffix in _MEDIA)):
        copy = folder / f"real{number:03d}_{path.name.replace(' ', '_')}"
        shutil.copyfile(path, copy)
        yield row(copy, duration_of(copy), ["real", path.parent.name])


def duration_of(path: Path) -> float:
    import av

    with av.open(str(path)) as container:
        return round((container.duration or 0) / av.time_base, 2)


def row(path: Path, duration_s: float, tags: list[str]) -> dict[str, object]:
    return {
        "path": path.name, "duration_s": duration_s, "language": "", "text": "", "ref_trust": "exact",
        "tags": ["no-speech", *tags],
    }  # fmt: skip


def write(path: Path, samples: np.ndarray) -> None:
    """16 bits, mono; rounded without dither, so that silence is digital silence."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, HZ, 0, "NONE", ""))
        file.writeframes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    main()

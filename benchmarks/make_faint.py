"""Write speech that is hard to hear, with its text: quiet, whispered, distant, in noise and in music.

    .venv/bin/python benchmarks/make_faint.py FOLDER [--seed 1] [--kit FOLDER] [--clips 40]

The counterpart of `make_no_speech.py`: a rule that rejects invented text must not reject this. The sentences are spoken
by flite and espeak-ng (Debian packages of these names); `--kit` takes read English clips of the kit along.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from make_no_speech import duration_of, write
from sounds import HZ, Signal, Sound, band, crowd, fan, piano, pink, unit

if TYPE_CHECKING:
    from collections.abc import Iterator

SENTENCES = (
    "The meeting was moved to Thursday because the room is being painted.",
    "Please leave the keys with the neighbour when you go.",
    "She walked along the river until the lights of the town came into view.",
    "We have enough flour for two loaves, but the butter is gone.",
    "He opened the old book and read the first page aloud.",
    "The train to the coast leaves from the other platform today.",
    "I never thought that the garden would look so green in October.",
    "Yes.",
    "Thank you.",
    "Nobody told us that the bridge was closed, so we turned around.",
    "Can you hear me now?",
    "The doctor said that a short walk every morning would help.",
    "Three of the windows were open and it had rained all night.",
    "Bring the ladder, the hammer and the small box of nails.",
    "It is late and the children have been asleep for hours.",
    "The last chapter explains why the experiment failed.",
)
FLITE, ESPEAK = ("slt", "rms", "awb", "kal16"), ("en-us", "en-gb")
Change = Callable[[np.random.Generator, Signal], Signal]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kit", type=Path)
    parser.add_argument("--clips", type=int, default=40, help="of the kit, at most")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    clips = [*spoken(), *(kit_clips(arguments.kit, arguments.clips) if arguments.kit else ())]
    rows = list(changed(arguments.folder, arguments.seed, clips))
    manifest = arguments.folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(f"{len(rows)} files, {sum(float(row['duration_s']) for row in rows) / 60:.1f} minutes: {manifest}")


Clip = tuple[str, str, Signal]
"""Name, text, samples."""


def spoken() -> Iterator[Clip]:
    """Every sentence by one flite voice and by one espeak-ng voice, in turn."""
    with tempfile.TemporaryDirectory() as scratch:
        for number, text in enumerate(SENTENCES):
            wav = Path(scratch, "spoken.wav")
            voice = FLITE[number % len(FLITE)]
            subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(wav)], check=True)
            yield f"flite-{voice}-{number:02d}", text, read(wav)
            if number % 2:
                voice = ESPEAK[number // 2 % len(ESPEAK)]
                subprocess.run(["espeak-ng", "-v", voice, "-s", "150", "-w", str(wav), text], check=True)
                yield f"espeak-{voice}-{number:02d}", text, read(wav)


def kit_clips(kit: Path, most: int) -> list[Clip]:
    """Read English of 2 to 12 s that is not noisy already."""
    found: list[Clip] = []
    for line in (kit / "real" / "manifest.jsonl").read_text().splitlines():
        clip = json.loads(line)
        clean = not {"noisy", "overlap", "silence", "voice-quality", "digits"} & set(clip["tags"])
        trusted = clip["ref_trust"] in ("verbatim", "exact", "prompt", "known-text") and clip.get("wer", True)
        if clean and trusted and clip["language"] == "en" and 2 <= clip["duration_s"] <= 12:
            path = kit / "real" / clip["path"]
            found.append((f"kit-{path.stem}", clip["text"], read(path)))
    return found[:most]


def read(path: Path) -> Signal:
    import av

    with av.open(str(path)) as container:
        to_mono = av.AudioResampler("s16", "mono", HZ)
        frames = [f for frame in container.decode(audio=0) for f in to_mono.resample(frame)] + to_mono.resample(None)
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]) / 32768.0


# ---------------------------------------------------------------- what is done to it


def level(x: Signal, rms_db: float) -> Signal:
    """`x` with its loud parts (the upper third of 20 ms frames) at `rms_db` of full scale."""
    frames = x[: len(x) // 320 * 320].reshape(-1, 320)
    loud = np.sort(np.sqrt((frames**2).mean(axis=1)))[-max(1, len(frames) // 3) :]
    return x / max(1e-9, float(np.sqrt((loud**2).mean()))) * 10 ** (rms_db / 20)


def edges(x: Signal) -> Signal:
    """A second of silence before and behind."""
    return np.concatenate((np.zeros(HZ), x, np.zeros(HZ)))


def whispered(rng: np.random.Generator, x: Signal) -> Signal:
    """Each 32 ms frame as noise through that frame's own linear prediction (order 20): a mouth without a voice."""
    size, hop, order = 512, 256, 20
    out, window = np.zeros(len(x) + size), np.hanning(size)
    for at in range(0, len(x) - size, hop):
        frame = x[at : at + size] * window
        r = np.correlate(frame, frame, "full")[size - 1 : size + order]
        if r[0] < 1e-7:
            continue
        r[0] *= 1.0001
        toeplitz = r[np.abs(np.subtract.outer(np.arange(order), np.arange(order)))]
        a = np.concatenate(([1.0], -np.linalg.solve(toeplitz, r[1:])))
        gain = np.sqrt(max(1e-12, float(a @ r)) / size)
        spectrum = np.fft.rfft(rng.standard_normal(size) * gain, 2 * size) / np.fft.rfft(a, 2 * size)
        out[at : at + size] += np.fft.irfft(spectrum)[:size] * window
    voiceless = np.fft.rfft(out[: len(x)])
    hz = np.fft.rfftfreq(len(x), 1 / HZ)
    return np.fft.irfft(voiceless * np.minimum(1, (hz + 50) / 600), len(x))  # a whisper has no low end


def distant(rng: np.random.Generator, x: Signal, rt60_s: float, snr_db: float, rms_db: float) -> Signal:
    """In a room, across it: little direct sound, an exponential tail, and the room's own noise."""
    n = int(rt60_s * HZ)
    tail = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    tail[0] = 6.0
    size = len(x) + n + 2 * HZ
    wet = np.fft.irfft(np.fft.rfft(edges(x), size) * np.fft.rfft(tail, size), size)
    return mixed(level(wet, rms_db), pink(rng, size), snr_db)


def mixed(speech: Signal, other: Signal, snr_db: float) -> Signal:
    """`other` beside `speech`, `snr_db` below the loud parts of it."""
    frames = speech[: len(speech) // 320 * 320].reshape(-1, 320)
    loud = np.sort(np.sqrt((frames**2).mean(axis=1)))[-max(1, len(frames) // 3) :]
    return speech + unit(other) * float(np.sqrt((loud**2).mean())) * 10 ** (-snr_db / 20)


def conditions() -> dict[str, Change]:
    """Name -> what is done to a clip."""

    def beside(sound: Sound, snr_db: float, rms_db: float = -26) -> Change:
        return lambda rng, x: mixed(edges(level(x, rms_db)), sound(rng, len(x) + 2 * HZ), snr_db)

    def quiet(rms_db: float) -> Change:
        return lambda _rng, x: edges(level(x, rms_db))

    made = {f"quiet{db}": quiet(-db) for db in (40, 48, 55, 62)}
    made |= {
        "quiet-noisy": beside(pink, 15, -50),
        "whispered": lambda rng, x: mixed(edges(level(whispered(rng, x), -30)), pink(rng, len(x) + 2 * HZ), 30),
        "whispered-quiet": lambda rng, x: mixed(edges(level(whispered(rng, x), -48)), pink(rng, len(x) + 2 * HZ), 20),
        "distant": lambda rng, x: distant(rng, x, 0.6, 15, -35),
        "far": lambda rng, x: distant(rng, x, 0.9, 8, -45),
        "pink5": beside(pink, 5), "pink0": beside(pink, 0), "fan0": beside(fan, 0), "crowd5": beside(crowd, 5),
        "piano5": beside(piano, 5), "band5": beside(band, 5), "band0": beside(band, 0),
    }  # fmt: skip
    return made


def changed(folder: Path, seed: int, clips: list[Clip]) -> Iterator[dict[str, object]]:
    """Every clip under four of the conditions, so that each has as many clips as the others."""
    changes = list(conditions().items())
    for number, (name, text, samples) in enumerate(clips):
        for turn in range(4):
            which = (number + turn * 5) % len(changes)
            condition, change = changes[which]
            rng = np.random.default_rng([seed, number, which])
            path = folder / f"{condition}_{name}.wav"
            write(path, change(rng, samples))
            yield {
                "path": path.name, "duration_s": duration_of(path), "language": "en", "text": text,
                "ref_trust": "exact", "tags": ["faint", condition, name.partition("-")[0]],
            }  # fmt: skip


if __name__ == "__main__":
    main()

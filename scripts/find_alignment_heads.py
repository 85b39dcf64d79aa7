#!/usr/bin/env python3
"""Find the attention heads that time a model's letters best, and their lateness, on speech with exact times.

Needs flite's shared libraries (Debian: `apt-get install flite`) and the project's own `.venv`:

    .venv/bin/python scripts/find_alignment_heads.py base [--clips 12] [--layers 3]

Each head of the last layers is tried alone, through the engine itself: the model is loaded once for each head, from a
folder of links. Printed is what `engines/alignment_heads.py` holds. The texts are none of the tests'.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from autorag_whisper.align.characters import marks, spell
from autorag_whisper.align.text_normalization import spoken_words
from autorag_whisper.audio.features import frame_count, log_mel
from autorag_whisper.domain.device import CPU
from autorag_whisper.engines.base import ENCODER_FRAME_S, CharacterHeads
from autorag_whisper.engines.ctranslate2 import LoadRequest, load
from autorag_whisper.loading.chosen_heads import with_heads
from autorag_whisper.models.check import check_model_folder
from autorag_whisper.models.store import ModelStore
from make_samples import Flite

if TYPE_CHECKING:
    from autorag_whisper.engines.base import Encoded, WhisperModel

RATE_HZ = 16_000
VOICES = ("slt", "rms", "awb", "kal16")
SENTENCES = (
    "The harbour was quiet that morning, and only two boats had left before the fog came in.",
    "She asked whether the museum would open again in spring, but nobody at the desk could tell.",
    "Our neighbours planted cherry trees along the fence, and every April the street turns white.",
    "Doctor Patel wrote three letters to the council about the broken bridge.",
    "A thin layer of ice covered the pond, though the air felt almost warm.",
    "Turn left at the church, pass the bakery, and look for a blue door with brass numbers.",
    "I bought apples, pears, a loaf of bread, some cheese and a bottle of milk.",
    "The old clock in the hall struck twelve while everyone was still talking.",
    "Bees can recognise human faces, remember routes, and count up to four.",
    "We drove through the night, stopped once for coffee, and reached the coast at dawn.",
    "Her brother repairs violins in a tiny workshop behind the railway station.",
    "He spoke slowly, choosing each word, as if the language were made of glass.",
    "Both teams agreed that the second goal should never have been allowed.",
    "My grandmother kept buttons in a tin box and told a story about every one.",
    "Wild geese fly in a wedge because each bird rests in the lift of the one ahead.",
    "What the report does not mention is how little money was actually spent.",
)
IN_A_CLIP = 3


@dataclass(frozen=True, slots=True)
class Clip:
    """Speech with its words and, float64[n], their true starts in seconds; `runs_on`: no pause before the word."""

    samples: np.ndarray
    words: tuple[str, ...]
    starts_s: np.ndarray
    runs_on: np.ndarray


@dataclass(frozen=True, slots=True)
class Result:
    """How a head did: lateness, and what is left of the errors without it."""

    head: tuple[int, int]
    late_s: float
    tokens_early_s: float
    median_s: float
    within_50: float


def resampled(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="s16", layout="mono")
    frame.sample_rate = rate_hz
    resampler = av.AudioResampler("flt", "mono", RATE_HZ)
    return np.concatenate([part.to_ndarray()[0] for part in (*resampler.resample(frame), *resampler.resample(None))])


def clips(count: int) -> list[Clip]:
    voices = [Flite(voice) for voice in VOICES]
    made = []
    for n in range(count):
        rng = np.random.default_rng(n)
        chosen = rng.choice(len(SENTENCES), IN_A_CLIP, replace=False)
        pieces: list[np.ndarray] = []
        words: list[dict[str, Any]] = []
        for index in chosen:
            offset_s = sum(map(len, pieces)) / RATE_HZ
            samples, rate_hz, spoken = voices[n % len(voices)].say(SENTENCES[index])
            words += [{"w": word["w"], "s": offset_s + word["s"], "e": offset_s + word["e"]} for word in spoken]
            pieces += [resampled(samples, rate_hz), np.zeros(round(rng.choice([0.0, 0.3, 1.0]) * RATE_HZ), np.float32)]
        audio = np.concatenate(pieces)
        audio += rng.normal(0, 10 ** (rng.uniform(-75, -55) / 20), len(audio)).astype(np.float32)
        runs_on = np.asarray([False, *(b["s"] - a["e"] < 0.03 for a, b in itertools.pairwise(words))])
        starts = np.asarray([word["s"] for word in words])
        made.append(Clip(audio.astype(np.float32), tuple(word["w"] for word in words), starts, runs_on))
    return made


def encoded(recognizer: WhisperModel, clip: Clip) -> Encoded:
    features = np.zeros((1, recognizer.spec.n_mels, 3000), np.float32)
    mel = log_mel(clip.samples, recognizer.spec.n_mels)[:, :3000]
    features[0, :, : mel.shape[1]] = mel
    return recognizer.encode(features)


def errors(recognizer: WhisperModel, clip: Clip, heard: Encoded) -> tuple[np.ndarray, np.ndarray]:
    """Signed errors of the starts in running speech, in seconds: by letters, by tokens."""
    tokenizer = recognizer.tokenizer
    start = tokenizer.start_sequence("en", "transcribe")
    frames = [min(3000, frame_count(len(clip.samples)))]
    spelled = spell(clip.words, spoken_words(clip.words, "en"), tokenizer.encode)
    assert spelled is not None
    [letters] = recognizer.align(heard, start, [spelled.token_ids], frames, spelled=True)
    path = marks(spelled, letters.starts * ENCODER_FRAME_S, 0.0)
    pieces = [tokenizer.encode(f" {word}") for word in clip.words]
    firsts = [0, *itertools.accumulate(map(len, pieces))][:-1]
    [tokens] = recognizer.align(heard, start, [tuple(itertools.chain(*pieces))], frames)
    by_tokens = tokens.starts[firsts] * ENCODER_FRAME_S
    return (path.first - clip.starts_s)[clip.runs_on], (by_tokens - clip.starts_s)[clip.runs_on]


def tried(folder: Path, name: str, head: tuple[int, int], material: list[tuple[Clip, Any]], scratch: Path) -> Result:
    place = with_heads(folder, [head], scratch)
    heads = CharacterHeads((head,), late_s=0.0)
    threads = os.cpu_count() or 1
    recognizer = load(LoadRequest(place, name, CPU, "int8", threads, strict_window=False, characters=heads))
    found = [errors(recognizer, clip, heard) for clip, heard in material]
    recognizer.close()
    by_letters, by_tokens = (np.concatenate(part) for part in zip(*found, strict=True))
    left = np.abs(by_letters - np.median(by_letters))
    within = 100 * float(np.mean(left <= 0.05))
    return Result(head, float(np.median(by_letters)), -float(np.median(by_tokens)), float(np.median(left)), within)


def main() -> None:
    """Try every head of the last layers and print them, the best first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="size, hub id or folder")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--layers", type=int, help="the last so many of the decoder; default: half of them")
    parser.add_argument("--heads", type=int, default=0, help="of a layer; default: by the model's width")
    given = parser.parse_args()
    folder = ModelStore(environ=os.environ).resolve(given.model).folder
    layers = check_model_folder(folder, given.model).decoder_layers
    recognizer = load(LoadRequest(folder, given.model, CPU, "int8", os.cpu_count() or 1, strict_window=False))
    material = [(clip, encoded(recognizer, clip)) for clip in clips(given.clips)]
    heads = given.heads or np.asarray(material[0][1].value).shape[-1] // 64
    recognizer.close()
    wanted = range(layers - (given.layers or layers // 2), layers)
    with tempfile.TemporaryDirectory() as scratch:
        places = itertools.product(wanted, range(heads))
        results = [tried(folder, given.model, head, material, Path(scratch)) for head in places]
    print(f"{given.clips} clips, {sum(int(clip.runs_on.sum()) for clip, _ in material)} words in running speech")
    for result in sorted(results, key=lambda result: -result.within_50)[:8]:
        print(
            f"head {result.head}: late {result.late_s:+.3f} s, median {result.median_s * 1000:.1f} ms, "
            f"within 50 ms {result.within_50:.1f} %, tokens early {result.tokens_early_s:+.3f} s"
        )


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Make a letter classifier that comes with the package: for the encoder of one model, from flite's speech.

Needs flite's shared libraries (Debian: `apt-get install flite`), the model, and the project's own `.venv`:

    OPENBLAS_NUM_THREADS=1 .venv/bin/python scripts/train_letters.py base [--minutes 50] [--seed 1]

Written are `letter_weights/NAME.safetensors` beside `engines/letter_classifiers.py`, and their entry in its manifest.
The words are those of the model's tokenizer (MIT), the sentences made of them at random; flite sets no terms on speech
made with its voices. Nothing of the benchmarks' recordings is in it. On one core base takes three minutes: one to
speak, one to encode, half a one to learn. The same command gives the same weights on one machine and set of libraries,
and elsewhere such as answer alike (`tests/acceptance/test_letter_weights.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autorag_whisper.align.letter_training import Course, Lesson, spelled, train
from autorag_whisper.audio.features import log_mel
from autorag_whisper.bootstrap import load_request
from autorag_whisper.domain.device import CPU, ModelKey
from autorag_whisper.engines import ctranslate2
from autorag_whisper.engines.letter_classifiers import encoder_digest, write
from autorag_whisper.models.digests import sha256_of
from autorag_whisper.models.store import ModelStore
from autorag_whisper.recognition.windows import window_frames
from exact_speech import RATE_HZ, word_list
from letter_speech import FILLERS, disturbed, english

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from letter_speech import Window

ALPHABET = tuple("abcdefghijklmnopqrstuvwxyz")
UNDISTURBED = 0.35
"""Share of the windows that stay as flite made them."""
SAMPLES_A_FRAME = 320
PLACE = Path(__file__).resolve().parents[1] / "src" / "autorag_whisper" / "engines" / "letter_weights"


class Encoder:
    """The model's encoder on the CPU, as transcribing uses it."""

    def __init__(self, name: str) -> None:
        store = ModelStore(environ=dict(os.environ), offline=True)
        self.files = store.resolve(name, download=False)
        key = ModelKey(str(self.files.folder), CPU, "int8")
        request = replace(load_request(self.files, key, 1, store.cache_dir), speller=None)
        self._recognizer = ctranslate2.load(request)

    def frames(self, samples: np.ndarray) -> np.ndarray:
        """float16[frames of 20 ms, width] of float32[n] at 16 kHz, in the window that a chunk of it would have."""
        spec = self._recognizer.spec
        mel = log_mel(samples, spec.n_mels)
        features = np.zeros((1, spec.n_mels, window_frames(len(samples), strict=spec.strict_window)), np.float32)
        features[0, :, : mel.shape[1]] = mel[:, : features.shape[2]]
        encoded = np.asarray(self._recognizer.encode(features).value)[0]
        return encoded[: len(samples) // SAMPLES_A_FRAME].astype(np.float16)


def lessons(encoder: Encoder, spoken: Iterable[Window], seed: int) -> Iterator[Lesson]:
    """Each window disturbed, or not, and encoded."""
    rng, before = np.random.default_rng(seed), None
    for window in spoken:
        sound = window.samples if rng.random() < UNDISTURBED else disturbed(window.samples, rng, before)
        before = window.samples
        words = tuple((spelled(text, ALPHABET), start, end) for text, start, end in window.words)
        fillers = frozenset(n for n, word in enumerate(window.words) if word[0].strip(".,?").lower() in FILLERS)
        yield Lesson(encoder.frames(sound), words, fillers)


def note(name: str, encoder: str, about: dict[str, Any]) -> None:
    """Write the entry of the manifest."""
    path = PLACE / "manifest.json"
    listed = json.loads(path.read_bytes()) if path.is_file() else {}
    file = f"{name}.safetensors"
    listed[name] = {"file": file, "sha256": sha256_of(PLACE / file), "encoder": encoder, **about}
    path.write_text(json.dumps(listed, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    """Speak, encode, learn, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="tiny.en, base, ...")
    parser.add_argument("--minutes", type=float, default=50.0, help="of speech (default: 50)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hidden", type=int, default=160, help="units of the hidden layer (default: 160)")
    options = parser.parse_args()
    began_s = time.process_time()
    encoder = Encoder(options.name)
    words = word_list(encoder.files.folder / "tokenizer.json")
    learnt = list(lessons(encoder, english(words, 60 * options.minutes, options.seed), options.seed))
    seconds = sum(len(lesson.encoded) for lesson in learnt) * SAMPLES_A_FRAME / RATE_HZ
    print(f"{seconds:.0f} s of speech after {time.process_time() - began_s:.0f} s of CPU", flush=True)
    classifier = train(learnt, ALPHABET, Course(hidden=options.hidden, seed=options.seed))
    PLACE.mkdir(exist_ok=True)
    digest = encoder_digest(encoder.files.folder)
    write(classifier, PLACE / f"{options.name}.safetensors", digest)
    about = {
        "command": " ".join(["scripts/train_letters.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "sources": [f"flite 2.2: {seconds / 60:.0f} minutes, voices slt, rms, awb, kal16, kal"],
    }
    note(options.name, digest, about)
    print(f"{options.name}: {time.process_time() - began_s:.0f} s of CPU")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Make a letter classifier that comes with the package, for the encoder of one model.

Needs the shared libraries of flite and espeak-ng (Debian: `apt-get install flite espeak-ng`), the model, and the
project's own `.venv`; AUTORAG_WHISPER_KIT names the benchmarks' recordings, without which people's speech is left out:

    OPENBLAS_NUM_THREADS=1 .venv/bin/python scripts/train_letters.py base [--minutes 100] [--teachers 4] [--seed 1]

Written are `letter_weights/NAME.safetensors` beside `engines/letter_classifiers.py`, and its entry in the manifest,
which lists what it learnt from. First it learns from synthesisers alone, which tell their words' times; what that gives
tells where the words of people's speech are whose text is known (`letter_people`); then it learns from all, and from
what networks that learnt it before answer (`letter_training`). On one core base takes a quarter of an hour. The same
command gives the same weights on one machine and set of libraries, and elsewhere such as answer alike
(`tests/acceptance/test_letter_weights.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autorag_whisper.align.letter_training import Course, train
from autorag_whisper.audio.disturbance import disturbed
from autorag_whisper.calibration import opened_model
from autorag_whisper.engines.letter_classifiers import encoder_digest, write
from autorag_whisper.files import sha256_of
from autorag_whisper.loading.letter_calibration import FRAME_SAMPLES, LATIN, encoder_frames, lesson
from autorag_whisper.models.store import ModelStore
from autorag_whisper.settings import Settings
from exact_speech import RATE_HZ, word_list
from letter_people import labelled, recordings
from letter_speech import by_espeak, english
from letter_texts import TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from autorag_whisper.align.letter_training import Lesson
    from autorag_whisper.align.letters import LetterClassifier
    from autorag_whisper.engines.base import WhisperModel
    from letter_speech import Window

UNDISTURBED = 0.25
"""Share of the windows that stay as their synthesiser made them."""
ESPEAK_SHARE, LANGUAGE_SHARE, MORE = 0.08, 0.03, {"ru": 3}
"""Minutes of espeak-ng's English, and of each other language, for each minute of flite's; so many times of a script."""
COPIES = 4
"""So often people's speech is heard: once as it is, else disturbed."""
PEOPLE_SHARE = 0.04
"""So often each copy counts for a minute of flite's speech: what people say keeps its share, however much there is."""
PLACE = Path(__file__).resolve().parents[1] / "src" / "autorag_whisper" / "engines" / "letter_weights"


class Teacher:
    """Makes lessons for one model's encoder, and keeps account of what they are of."""

    def __init__(self, recognizer: WhisperModel, seed: int) -> None:
        self._recognizer, self._rng = recognizer, np.random.default_rng(seed)
        self.languages = recognizer.spec.languages
        self.sources: dict[str, float] = {}

    def frames(self, samples: np.ndarray) -> np.ndarray:
        """The encoder's output of up to 30 s."""
        return encoder_frames(self._recognizer, samples)

    def synthetic(self, source: str, windows: Iterable[Window]) -> Iterator[Lesson]:
        """Each window disturbed, or not, and encoded."""
        before = None
        for window in windows:
            is_clean = self._rng.random() < UNDISTURBED
            sound = window.samples if is_clean else disturbed(window.samples, self._rng, before)
            before = window.samples
            self._note(source, len(sound))
            yield lesson(self.frames(sound), window.words)

    def people(self, kit: Path, by: LetterClassifier) -> Iterator[Lesson]:
        """Recordings of `kit`, labelled by a first classifier, some copies of each."""
        for row in recordings(kit, self.languages):
            source = f"{row['path']} ({row['licence']})"
            for stretch in labelled(kit / "real" / row["path"], row, self.frames, by):
                self._note(source, len(stretch.samples))
                for copy in range(COPIES):
                    sound = disturbed(stretch.samples, self._rng) if copy else stretch.samples
                    yield lesson(self.frames(sound), stretch.words, stretch.taught)

    def _note(self, source: str, samples: int) -> None:
        self.sources[source] = self.sources.get(source, 0.0) + samples / RATE_HZ


def lessons_of_synthesisers(teacher: Teacher, words: list[str], minutes: float, seed: int) -> list[Lesson]:
    """flite's English, and espeak-ng's in every language that the model knows."""
    made = list(teacher.synthetic("flite 2.2 (en)", english(words, 60 * minutes, seed)))
    shares = {"en": ESPEAK_SHARE, **{language: LANGUAGE_SHARE * MORE.get(language, 1) for language in TEXTS}}
    for number, (language, share) in enumerate(shares.items()):
        if language in teacher.languages:
            speech = by_espeak(language, words, 60 * minutes * share, seed + 100 + number)
            made += teacher.synthetic(f"espeak-ng 1.51 ({language})", speech)
    return made


def note(name: str, about: dict[str, Any]) -> None:
    """Write the entry of the manifest."""
    path = PLACE / "manifest.json"
    listed = json.loads(path.read_bytes()) if path.is_file() else {}
    file = f"{name}.safetensors"
    listed[name] = {"file": file, "sha256": sha256_of(PLACE / file), **about}
    path.write_text(json.dumps(listed, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    """Speak, encode, learn, label people's speech, learn again, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="tiny.en, base, ...")
    parser.add_argument("--minutes", type=float, default=100.0, help="of flite's speech (default: 100)")
    parser.add_argument("--teachers", type=int, default=4, help="networks from which the last one learns (default: 4)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hidden", type=int, default=256, help="units of the hidden layer (default: 256)")
    options = parser.parse_args()
    folder = ModelStore(environ=dict(os.environ), offline=True).resolve(options.name, download=False).folder
    words, kit = word_list(folder / "tokenizer.json"), os.environ.get("AUTORAG_WHISPER_KIT")
    with ExitStack() as opened:
        recognizer = opened.enter_context(opened_model(Settings(), os.environ, options.name, "cpu"))
        teacher = Teacher(recognizer, options.seed)
        learnt = lessons_of_synthesisers(teacher, words, options.minutes, options.seed)
        _tell("encoded", learnt)
        if kit:
            first = train(learnt, LATIN, Course(hidden=128, epochs=(1, 2, 2), seed=options.seed))
            learnt += max(1, round(PEOPLE_SHARE * options.minutes)) * list(teacher.people(Path(kit), first))
            _tell("with people", learnt)
    classifier = train(learnt, LATIN, Course(options.hidden, (1, 2, 5), options.seed, options.teachers))
    PLACE.mkdir(exist_ok=True)
    encoder = encoder_digest(folder)
    write(classifier, PLACE / f"{options.name}.safetensors", encoder)
    about = {
        "encoder": encoder,
        "command": f"scripts/train_letters.py {options.name} --minutes {options.minutes:g} --seed {options.seed}"
        f" --hidden {options.hidden} --teachers {options.teachers}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "sources": {source: f"{seconds:.0f} s" for source, seconds in teacher.sources.items()},
    }
    note(options.name, about)
    _tell("done", learnt)


def _tell(what: str, learnt: list[Lesson]) -> None:
    minutes = sum(len(one.encoded) for one in learnt) * FRAME_SAMPLES / RATE_HZ / 60
    print(f"{what}: {minutes:.1f} minutes of speech, {time.process_time():.0f} s of CPU", flush=True)


if __name__ == "__main__":
    main()

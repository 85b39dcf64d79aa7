"""What the alignment costs: its share of a run's processor time, part by part; and whether word times moved.

    .venv/bin/python benchmarks/alignment_share.py FILES... [--model base] [--rounds 3] [--words now.json]
    .venv/bin/python benchmarks/alignment_share.py --compare before.json now.json

AUTORAG_WHISPER_ENGINE and AUTORAG_WHISPER_THREADS=1 choose the engine and the number of its workers, as everywhere.
Each round transcribes all files once with the model loaded, and the cheapest of the rounds is told. Time is that of the
processor: of the whole process, and of the threads that align, which is what the parts are of.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autorag_whisper import TranscribeOptions
from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.recognition.alignment import Alignment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autorag_whisper import Transcriber

PACKAGE = "autorag_whisper"
PARTS = {
    "the encoder's output": ("as_arrays", "as_array"),
    "the classifier": ("log_probabilities",),
    "ways through the letters": ("recognition.letter_alignment._Hearing.path",),
    "repetitions": ("recognition.letter_alignment._Hearing.as_often_as_said",),
    "sound levels": ("align.pauses._above_silence_db",),
    "echoes": ("recognition.letter_alignment.delay_s",),
    "readings of words": ("recognition.letter_alignment.readings",),
}
"""Functions by their place in the package, methods of the engine and of who hears letters by their names."""
Words = dict[str, list[tuple[str, float, float]]]


class Spent:
    """Processor seconds of the thread, by part; a part within another one counts there alone."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._within: list[float] = []

    def counted(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            began = time.thread_time()
            self._within.append(0.0)
            try:
                return act(*given, **named)
            finally:
                took = time.thread_time() - began
                self.seconds[name] += took - self._within.pop()
                if self._within:
                    self._within[-1] += took

        return call

    def watch(self, owner: Any, attribute: str, name: str) -> None:
        if hasattr(owner, attribute):
            setattr(owner, attribute, self.counted(name, getattr(owner, attribute)))


def watched(spent: Spent, transcriber: Transcriber, model: str, warm_up: Path) -> None:
    """Have `spent` count the parts: those that lie in modules, and those of the engine, once it is there."""
    seen: set[type] = set()

    def align(self: Alignment, *given: Any) -> Any:
        hearing = self._engine.spec.letters
        for kind in {type(self._engine), type(hearing)} - seen:
            seen.add(kind)
            for name, places in PARTS.items():
                for place in places:
                    if "." not in place:
                        spent.watch(kind, place, name)
        return whole(self, *given)

    whole = Alignment.align
    Alignment.align = spent.counted("the rest", align)  # type: ignore[method-assign]
    for name, places in PARTS.items():
        for place in (one for one in places if "." in one):
            *path, attribute = place.split(".")
            owner: Any = importlib.import_module(f"{PACKAGE}.{'.'.join(path[:2])}")
            for part in path[2:]:
                owner = getattr(owner, part)
            spent.watch(owner, attribute, name)
    transcriber.transcribe(warm_up, model=model)
    spent.seconds.clear()


@contextmanager
def clocked(spent: Spent) -> Iterator[dict[str, float]]:
    """Processor milliseconds of each part, and `all` of the process."""
    spent.seconds.clear()
    told: dict[str, float] = {}
    began = time.process_time()
    yield told
    told |= {"all": 1000 * (time.process_time() - began)} | {
        name: 1000 * seconds for name, seconds in spent.seconds.items()
    }


def measure(files: list[Path], model: str, rounds: int) -> tuple[dict[str, float], float, Words]:
    """Milliseconds by part of the cheapest round, seconds of audio, and the words with their times."""
    best: dict[str, float] = {}
    spent = Spent()
    with build_transcriber() as transcriber:
        watched(spent, transcriber, model, files[0])
        for _ in range(rounds):
            words, duration_s = Words(), 0.0
            with clocked(spent) as told:
                for file in files:
                    found = transcriber.transcribe(file, TranscribeOptions(temperatures=(0.0,)), model=model)
                    words[file.name] = [(word.text, word.start_s, word.end_s) for word in found.words]
                    duration_s += found.duration_s
            if not best or told["all"] < best["all"]:
                best = told
    return best, duration_s, words


def show(told: dict[str, float], duration_s: float) -> None:
    aligned = sum(value for name, value in told.items() if name != "all")
    print(f"{duration_s:.0f} s of audio, {told['all'] / duration_s:.2f} ms of the processor a second, alignment:")
    for name, value in sorted(told.items(), key=lambda pair: -pair[1]):
        if name != "all":
            print(f"  {name:26} {value / duration_s:6.3f} ms {100 * value / told['all']:5.2f} %")
    print(f"  {'together':26} {aligned / duration_s:6.3f} ms {100 * aligned / told['all']:5.2f} %")


def compare(before: Words, now: Words) -> None:
    """How far starts and ends moved, over files whose words are the same."""
    moved: list[float] = []
    for name, words in before.items():
        if [word for word, *_ in words] != [word for word, *_ in now.get(name, [])]:
            print(f"{name}: other words")
            continue
        for one, other in zip(words, now[name], strict=True):
            moved += [abs(one[1] - other[1]), abs(one[2] - other[2])]
            if max(moved[-2:]) > 0.02:
                print(f"{name}: {one[0]} {one[1]:.2f}-{one[2]:.2f}, now {other[1]:.2f}-{other[2]:.2f}")
    edges = np.asarray(moved) * 1000
    print(
        f"{len(edges)} edges: {np.count_nonzero(edges > 0.05)} moved, median {np.median(edges):.1f} ms, "
        f"largest {edges.max(initial=0):.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--model", default="base")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--words", type=Path, help="write the words of each file there")
    parser.add_argument("--compare", type=Path, nargs=2)
    given = parser.parse_args()
    if given.compare:
        before, now = (json.loads(file.read_text()) for file in given.compare)
        compare(before, now)
        return
    told, duration_s, words = measure(given.files, given.model, given.rounds)
    show(told, duration_s)
    if given.words:
        given.words.write_text(json.dumps(words))


if __name__ == "__main__":
    main()

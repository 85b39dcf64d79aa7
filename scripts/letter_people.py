"""People's speech for letter classifiers: recordings with known texts, labelled by what synthesisers taught.

Of a folder of recordings (the benchmarks' kit) those are taken whose licence is the public domain, CC0 or CC BY, whose
text is known and in Latin letters, and that are neither noisy nor of several people; of these every second one, by
name: the others stay for measuring. Recordings whose words were timed by hand are never taken.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autorag_whisper.align.letter_edges import sharpened
from autorag_whisper.align.letter_path import likeliest_readings, words_by_letters
from autorag_whisper.align.pauses import SoundLevel
from autorag_whisper.align.text_normalization import readings
from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.loading.letter_calibration import FRAME_SAMPLES
from exact_speech import RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from autorag_whisper.align.letters import LetterClassifier

FREE = ("public domain", "CC0", "CC BY 4.0")
KNOWN_TEXT = {"verbatim", "known-text", "prompt"}
OTHER_SCRIPTS = {"zh", "ja", "yue", "ko", "ru"}
LONGEST_S, EARLIEST_CUT_S = 25, 16
SURE = 0.15
"""A word heard worse was said otherwise than is written: its frames and those around teach nothing."""
AROUND = 5
LIKELY_SPEECH = 1.5
"""Frames between words that are so many nats likelier a letter than silence are speech that the text has not."""
FRAME_S = FRAME_SAMPLES / RATE_HZ


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A stretch of a recording with its words (text, start_s, end_s) and what share of each frame is taught."""

    samples: np.ndarray
    words: tuple[tuple[str, float, float], ...]
    taught: np.ndarray


def recordings(kit: Path, languages: frozenset[str]) -> list[dict[str, Any]]:
    """The lines of the manifest of `kit/real` that are taken."""
    lines = (kit / "real" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    free = [
        row
        for row in map(json.loads, lines)
        if row["licence"].startswith(FREE)
        and row.get("ref_trust") in KNOWN_TEXT
        and row.get("word_trust") not in {"human", "constructed"}
        and row["language"] not in OTHER_SCRIPTS
        and not {"noisy", "silence", "overlap", "multi-speaker"} & set(row["tags"])
    ]
    halved = sorted(free, key=lambda row: str(row["path"]))[::2]
    return [row for row in halved if row["language"] in languages]


def labelled(
    path: Path, row: dict[str, Any], frames: Callable[[np.ndarray], np.ndarray], by: LetterClassifier
) -> Iterator[Labelled]:
    """A recording in stretches of up to 25 s; nothing where `by` does not know its script.

    `frames` gives the encoder's output of up to 30 s.
    """
    with path.open("rb") as file, MediaDecoder(file, path.name) as decoder:
        samples = np.concatenate([block.data for block in decoder])
    pieces = np.split(samples, cuts(samples))
    heard = np.concatenate([by.log_probabilities(frames(piece).astype(np.float32)) for piece in pieces])
    quiet = np.concatenate([SoundLevel.of(piece).quiet_frames(len(piece) // FRAME_SAMPLES) for piece in pieces])
    texts = said(row["text"].split(), row["language"], heard, by, quiet)
    found = words_by_letters(heard, by, [[(text,)] for text in texts], quiet)
    if found is None:
        return
    foreign = [(first * FRAME_S, stop * FRAME_S) for first, stop in found.foreign]
    speech = [(0.0, len(samples) / RATE_HZ)]
    spans = sharpened(found.spans * FRAME_S, SoundLevel.of(samples).silences(speech), foreign)
    taught = _taught(heard, found.spans.astype(int), np.asarray(found.scores))
    at = 0
    for piece in pieces:
        start_s, end_s, count = at / RATE_HZ, (at + len(piece)) / RATE_HZ, len(piece) // FRAME_SAMPLES
        words = tuple(
            (text, float(begin - start_s), float(end - start_s))
            for text, (begin, end), score in zip(texts, spans, found.scores, strict=True)
            if begin >= start_s and end <= end_s and score >= SURE
        )
        first = at // FRAME_SAMPLES
        yield Labelled(piece, words, taught[first : first + count])
        at += len(piece)


def said(written: list[str], language: str, heard: np.ndarray, by: LetterClassifier, quiet: np.ndarray) -> list[str]:
    """Written words as they are spoken: of a number the words of the reading that fits best what `by` has `heard`.

    "1455" is four words with their letters; as it is written it would be taught as one letter of no alphabet.
    """
    ways = readings(written, language)
    path = words_by_letters(heard, by, ways, quiet)
    if path is not None:
        ways = likeliest_readings(path, heard, by, ways, quiet)
    return [part for way in ways for part in (way[0] if way else ())]


def cuts(samples: np.ndarray) -> list[int]:
    """Where long recordings are cut: at whole frames, in the quietest 0.2 s of the stretch that may be the last."""
    found: list[int] = []
    while len(samples) - (found[-1] if found else 0) > LONGEST_S * RATE_HZ:
        begin = (found[-1] if found else 0) + EARLIEST_CUT_S * RATE_HZ
        power = np.convolve(samples[begin : begin + (LONGEST_S - EARLIEST_CUT_S) * RATE_HZ] ** 2, np.ones(3200), "same")
        found.append((begin + int(power.argmin())) // FRAME_SAMPLES * FRAME_SAMPLES)
    return found


def _taught(heard: np.ndarray, spans: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """float32[frames]: 0 where it is not sure what was said."""
    taught, own = np.ones(len(heard), np.float32), np.zeros(len(heard), bool)
    for (first, stop), score in zip(spans, scores, strict=True):
        own[first:stop] = True
        if score < SURE:
            taught[max(0, first - AROUND) : stop + AROUND] = 0
    taught[~own & (heard[:, 0] < heard.max(axis=1) - LIKELY_SPEECH)] = 0
    return taught

#!/usr/bin/env python3
"""Measure the committed CTC model on speech that it never heard; write the clips that the tests use.

Needs flite and espeak-ng (`scripts/exact_speech.py`); runs in `.venv`:

    .venv/bin/python scripts/measure_ctc.py tests/data/ctc-tiny-en               # figures, and metrics.json in there
    .venv/bin/python scripts/measure_ctc.py --clips tests/data/ctc-speech        # the clips, 0.6 MB

Starts and ends of all words against the synthesiser's own times; the text is the true one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from autorag_whisper.domain.device import CPU
from autorag_whisper.engines.ctranslate2_wav2vec2 import load
from autorag_whisper.recognition.ctc_alignment import ChunkText, align_words_by_ctc
from exact_speech import RATE_HZ, EspeakSpeaker, FliteSpeaker, Utterance
from make_samples import write_flac

PLAIN = (
    "The harbour was quiet, and the boats lay still in the grey morning light.",
    "She opened the letter slowly, read it twice, and put it back in the drawer.",
    "Nobody could explain why the old clock had stopped during the night.",
    "We walked along the river until the path turned into the forest.",
    "If the weather holds, they will finish painting the fence before dinner.",
    "My brother keeps his tools in a wooden box under the kitchen table.",
    "The teacher asked a question, but the children were looking at the snow.",
    "Fresh bread, a little cheese and two apples were all that was left.",
    "He had never seen so many stars, not even in the mountains.",
    "A small dog barked at the train as it passed the empty station.",
    "You should have told me earlier, I would have waited for you.",
    "The committee will publish its report by the end of the week.",
)
WITH_NUMBERS = (
    "On June 14, 1969, we sold 350 tickets for $25 each.",
    "The train leaves at 7:30 and takes 45 minutes.",
    "About 60% of the 2,000 houses were built before 1950.",
    "He paid $3 for 12 eggs and walked 5 miles home.",
)
FLITE = ("slt", "rms", "awb", "kal16")
ESPEAK = ("en-us", "en+m3")
PAUSE_S = 0.9


def utterances() -> list[tuple[str, Utterance, bool]]:
    """(voice, what it said, whether numbers are in it), for every sentence in every voice that reads it as written."""
    made = []
    speakers = {voice: FliteSpeaker(voice) for voice in FLITE}
    espeak = EspeakSpeaker()
    for sentence in (*PLAIN, *WITH_NUMBERS):
        numbers = any(letter.isdigit() for letter in sentence)
        said = [(voice, speaker.speak(sentence, 1.0)) for voice, speaker in speakers.items()]
        if not numbers:  # espeak-ng tells of every spoken word, flite of every written one
            said += [(voice, espeak.speak(sentence, voice, 160)) for voice in ESPEAK]
        made += [(voice, utterance, numbers) for voice, utterance in said if utterance is not None]
    return made


def write_clips(folder: Path) -> None:
    """A sentence or two in each voice, as FLAC with `NAME.words.json` beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    by_voice: dict[str, list[tuple[Utterance, bool]]] = {}
    for voice, utterance, numbers in utterances():
        by_voice.setdefault(voice, []).append((utterance, numbers))
    for n, (voice, said) in enumerate(by_voice.items()):
        plain = [utterance for utterance, numbers in said if not numbers]
        first, second = plain[2 * n % len(plain)], plain[(2 * n + 1) % len(plain)]
        chosen = [first, next((u for u, numbers in said if numbers), second)]
        pieces, words, at = [], [], 0
        for utterance in chosen:
            if pieces:
                pieces.append(np.zeros(round(PAUSE_S * RATE_HZ), np.int16))
                at += len(pieces[-1])
            pieces.append(utterance.samples)
            start_s = at / RATE_HZ
            words += [{"w": w, "s": round(start_s + s, 4), "e": round(start_s + e, 4)} for w, s, e in utterance.words]
            at += len(utterance.samples)
        name = voice.replace("+", "-")
        write_flac(folder / f"{name}.flac", np.concatenate(pieces), RATE_HZ)
        lines = ",\n".join("  " + json.dumps(word) for word in words)
        (folder / f"{name}.words.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        print(f"{folder / name}.flac: {len(words)} words, {at / RATE_HZ:.1f} s")


def measure(model: Path) -> dict[str, Any]:
    """Errors of starts and ends in milliseconds, by kind of voice and with the words that have digits apart."""
    rows: dict[str, list[float]] = {}
    spent_s = audio_s = 0.0
    with tempfile.TemporaryDirectory() as cache:
        emitter = load(model, model.name, CPU, cache_dir=Path(cache))
        for voice, utterance, _ in utterances():
            chunk = ChunkText(
                (utterance.samples / 32768).astype(np.float32), tuple(word for word, _, _ in utterance.words), "en"
            )
            began = time.process_time()
            [times] = align_words_by_ctc(emitter, [chunk])
            spent_s += time.process_time() - began
            audio_s += len(utterance.samples) / RATE_HZ
            if isinstance(times, Exception):
                raise times
            for (word, start_s, end_s), found in zip(utterance.words, times, strict=True):
                kinds = ["all", "flite" if voice in FLITE else "espeak-ng"]
                kinds.append("words with digits" if any(c.isdigit() for c in word) else "plain words")
                for kind in kinds:
                    rows.setdefault(f"{kind}, starts", []).append(1000 * abs(found.start_s - start_s))
                    rows.setdefault(f"{kind}, ends", []).append(1000 * abs(found.end_s - end_s))
        emitter.close()
    figures: dict[str, Any] = {kind: _figures(np.array(errors)) for kind, errors in sorted(rows.items())}
    return figures | {"audio_s": round(audio_s, 1), "cpu_s_per_audio_s": round(spent_s / audio_s, 4)}


def _figures(errors_ms: np.ndarray) -> dict[str, float]:
    shares = {f"within_{limit}_ms": round(float((errors_ms <= limit).mean()), 3) for limit in (20, 50, 100)}
    median, p95 = np.percentile(errors_ms, [50, 95])
    return {"words": len(errors_ms), "median_ms": round(float(median), 1), **shares, "p95_ms": round(float(p95), 1)}


def main() -> None:
    """Parse the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--clips", type=Path)
    args = parser.parse_args()
    if args.clips:
        write_clips(args.clips)
    if args.model:
        figures = measure(args.model)
        text = json.dumps(figures, indent=1)
        (args.model / "metrics.json").write_text(text + "\n", encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main()

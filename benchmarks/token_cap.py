"""What the cap on a chunk's tokens costs in scripts of many tokens: half a minute of speech in each, without a pause.

    apt-get install espeak-ng
    .venv/bin/python benchmarks/token_cap.py [--model base] [--quality balanced]

espeak-ng says a sentence of `tests/data/repetitions.json` with counting between, so that a chunk is as long as a chunk
may be. What a small model writes of that is often wrong, so words are not scored: what counts is speech that has
no words.

| column | |
|---|---|
| speech | seconds that voice activity is sure of |
| told | of them in `coverage.holes` |
| untold | of them in no word, no hole and no `unspoken` stretch, where that is half a second and more at once |
| cut | attempts that ended at the cap, of all attempts |
| last | seconds from the last word to the end of the speech |
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
import wave
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper import TranscribeOptions, build_transcriber
from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.highpass import HighPass
from autorag_whisper.engines.silero import SileroVoiceActivity

if TYPE_CHECKING:
    from autorag_whisper import Transcript

SENTENCES = Path(__file__).parents[1] / "tests" / "data" / "repetitions.json"
LANGUAGES = ("el", "ru", "hy", "ka", "hi", "ta", "te", "my", "am", "ar", "ja", "ko")
"""Twelve scripts."""
LENGTH_S = 28.0
WINDOW_S, UNTOLD_S = 0.032, 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base")
    parser.add_argument("--quality", default="balanced")
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    arguments = parser.parse_args()
    print("        speech   told  untold   cut      last")
    totals = np.zeros(5)
    with tempfile.TemporaryDirectory() as folder, build_transcriber() as transcriber:
        for language in arguments.languages.split(","):
            path = spoken(Path(folder), language)
            options = TranscribeOptions(language=language, quality=arguments.quality)
            transcript = transcriber.transcribe(path, options, model=arguments.model)
            row = figures(path, transcript)
            totals += row
            print(f"{language:6} " + line(row), flush=True)
    print("all    " + line(totals))


def spoken(folder: Path, language: str) -> Path:
    """`LENGTH_S` of counting on, and of the sentence of a language without the "no, no, no" that it begins with."""
    [sentence, *_] = [one["text"] for one in json.loads(SENTENCES.read_text()) if one["language"] == language]
    sentence = re.split(r"[,、၊፣،] ?", sentence, maxsplit=3)[-1]
    text = " ".join(", ".join(str(10 * n + k) for k in range(11, 16)) + f". {sentence}" for n in range(6))
    path = folder / f"{language}.wav"
    subprocess.run(["espeak-ng", "-v", language, "-s", "165", "-w", str(path), text], check=True)
    shorter = folder / f"{language}-{LENGTH_S:.0f}.wav"
    cut(path, shorter)
    return shorter


def cut(path: Path, shorter: Path) -> None:
    with wave.open(str(path), "rb") as whole, wave.open(str(shorter), "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(round(LENGTH_S * whole.getframerate())))


def figures(path: Path, transcript: Transcript) -> np.ndarray:
    """Speech, told, untold (seconds), attempts that were cut, seconds behind the last word."""
    with path.open("rb") as file, MediaDecoder(file, path.name) as decoder:
        samples = np.concatenate(list(decoder))
    stream = SileroVoiceActivity().stream()
    is_speech = np.concatenate([stream.push(HighPass().push(samples)), stream.finish()]) >= 0.5
    has_word = np.zeros(len(is_speech), bool)
    covered = [(w.start_s, w.end_s) for w in transcript.words]
    covered += [(hole.start_s, hole.end_s) for hole in transcript.coverage.holes]
    covered += [(stretch.start_s, stretch.end_s) for stretch in transcript.unspoken]
    for start_s, end_s in covered:
        has_word[int(start_s / WINDOW_S) : int(end_s / WINDOW_S) + 1] = True
    edges = np.flatnonzero(np.diff(np.concatenate(([0], (is_speech & ~has_word).astype(int), [0]))))
    lengths_s = (edges[1::2] - edges[::2]) * WINDOW_S
    attempts = {attempt for segment in transcript.segments for attempt in segment.attempts}
    was_cut = sum(attempt.rejected_for == "token_cap" for attempt in attempts)
    ends_s = float(np.flatnonzero(is_speech)[-1] + 1) * WINDOW_S
    last_s = max(0.0, ends_s - max([0.0, *(word.end_s for word in transcript.words)]))
    coverage = transcript.coverage
    untold_s = float(lengths_s[lengths_s >= UNTOLD_S].sum())
    return np.array([coverage.speech_s, coverage.skipped_s, untold_s, was_cut, last_s])


def line(row: np.ndarray) -> str:
    speech_s, told_s, untold_s, was_cut, last_s = row
    return f"{speech_s:7.1f} {told_s:6.1f} {untold_s:7.1f} {int(was_cut):5} {last_s:9.1f}"


if __name__ == "__main__":
    main()

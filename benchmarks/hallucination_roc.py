"""What the limits of `recognition.hallucinations` let through and what they cost, over many recordings of both kinds.

    .venv/bin/python benchmarks/hallucination_roc.py --no-speech FOLDER... --faint FOLDER... [--model base]

Every chunk is recognised once; then the rule `faint_voice` is applied at other limits. Each cell: words invented where
nobody speaks / words that were right and are rejected (`right` counts words of the reference, in order).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING

from whisper_normalizer.english import EnglishTextNormalizer

from autorag_whisper.audio.chunking import ChunkingRules
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.device import CPU
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.engines.ctranslate2 import LoadRequest, load
from autorag_whisper.engines.silero import SileroVoiceActivity
from autorag_whisper.models.store import ModelStore
from autorag_whisper.recognition import hallucinations
from autorag_whisper.recognition.chunk_result import ChunkTask
from autorag_whisper.recognition.recognise import WhisperPass
from autorag_whisper.recognition.recognizer import Caller
from autorag_whisper.settings import Settings
from autorag_whisper.transcriber.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.transcript import Attempt
    from autorag_whisper.recognition.chunk_result import ChunkResult

VOICES, DOUBTS = (0.5, 0.65, 0.75, 0.85, 0.95, 1.01), (0.45, 0.55, 0.65, 0.75, 0.9)
_NORMAL = EnglishTextNormalizer()


@dataclass(frozen=True, slots=True)
class Judged:
    """A chunk's text before any rule, the attempt it is from, and how many of its words were said (None: no speech)."""

    text: str
    attempt: Attempt
    chunk: SpeechChunk
    right: int | None

    @property
    def words(self) -> int:
        return len(self.text.split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-speech", type=Path, nargs="+", required=True)
    parser.add_argument("--faint", type=Path, nargs="+", required=True)
    parser.add_argument("--model", default="base")
    parser.add_argument("--beam-size", type=int, default=5)
    arguments = parser.parse_args()
    judged = list(recognised(arguments))
    nobody, spoken = [one for one in judged if one.right is None], [one for one in judged if one.right is not None]
    print(f"{arguments.model}, beam {arguments.beam_size}")
    print(f"{sum(one.words for one in nobody)} words in {len(nobody)} texts over no speech")
    print(f"{sum(one.right or 0 for one in spoken)} right words in {len(spoken)} texts over faint speech")
    print("voice < \\ doubt > " + "".join(f"{doubt:>10}" for doubt in DOUBTS))
    for voice in VOICES:
        print(f"{voice:>17} " + "".join(f"{cell(judged, voice, doubt):>10}" for doubt in DOUBTS))


def cell(judged: list[Judged], voice: float, doubt: float) -> str:
    hallucinations.FAINT_VOICE, hallucinations.DOUBT = voice, doubt
    invented = lost = 0
    for one in judged:
        rejected = hallucinations.hallucination_rule(one.text, one.attempt, one.chunk, TranscribeOptions())
        if one.right is None and not rejected:
            invented += one.words
        elif one.right and rejected:
            lost += one.right
    return f"{invented} / {lost}"


def recognised(arguments: argparse.Namespace) -> Iterator[Judged]:
    settings = Settings.from_env(os.environ)
    store = ModelStore(cache_dir=settings.cache_dir, offline=True, environ=os.environ)
    workers = len(os.sched_getaffinity(0))
    engine = load(
        LoadRequest(store.resolve(arguments.model).folder, arguments.model, CPU, "int8", workers, strict_window=False)
    )
    options = TranscribeOptions(beam_size=arguments.beam_size, language="en")
    caller = Caller(on_language=lambda _file, _choice: None, cancelled=lambda: False)
    one_pass = WhisperPass(engine, options, caller)
    voice = SileroVoiceActivity()

    def judge(path: Path, reference: str) -> list[Judged]:
        reader = Reader(MediaSource.from_path(path), options, voice, ChunkingRules())
        results = [final(one_pass, options, chunk) for chunks in reader.steps() for chunk in chunks]
        reader.close()
        return [judged for result in results if (judged := evidence(result, reference)) is not None]

    with ThreadPoolExecutor(workers) as pool:
        for folder in (*arguments.no_speech, *arguments.faint):
            rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
            for found in pool.map(lambda row, at=folder: judge(at / row["path"], row["text"]), rows):
                yield from found
            print(f"{folder}: {len(rows)} files", file=sys.stderr)


def final(one_pass: WhisperPass, options: TranscribeOptions, chunk: SpeechChunk) -> ChunkResult:
    [result] = one_pass.recognise([ChunkTask(0, chunk, "en", options=options)])
    return one_pass.recognise([result.task.again("en", result.attempts)])[0] if result.needs_redo else result


def evidence(result: ChunkResult, reference: str) -> Judged | None:
    said = " ".join(timed.word.text for timed in result.words)
    text = " ".join([said, *(rejection.text for rejection in result.rejected)]).strip()
    if not text or result.attempt is None:
        return None
    if not reference:
        return Judged(text, result.attempt, result.task.chunk, None)
    matcher = SequenceMatcher(None, _NORMAL(reference).split(), _NORMAL(text).split(), autojunk=False)
    right = sum(block.size for block in matcher.get_matching_blocks())
    return Judged(text, result.attempt, result.task.chunk, right)


if __name__ == "__main__":
    main()

"""What the page asks of the service, in ms: `python -m benchmarks.transcripts FILE [--model NAME] [--jobs N]`.

A server with durable jobs (`serve --model NAME --data ...`) has FILE transcribed. Measured over loopback: the times of
an edited sentence (its longest segment of at most ten seconds, one word of it changed), and that every unchanged word
comes back as it was. Then the store alone, with N jobs of 500 words each and one transcript of 30,000 words: lists,
searches, and what it takes to read that transcript and to save an edit of it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from autorag_whisper.jobs.files import JobFiles
from autorag_whisper.jobs.job import Job, JobRequest, JobState
from autorag_whisper.jobs.library import Sort, Version, Wanted
from autorag_whisper.jobs.sqlite import SqliteJobStore
from autorag_whisper.jobs.transcript_json import edited
from autorag_whisper.jobs.transcripts import Transcripts
from benchmarks.job_store import measured

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = [f"{a}{b}{c}" for a in "bdfklmnprst" for b in "aeiou" for c in ("n", "r", "st", "lo", "mi")]
LONG = 30_000


@contextmanager
def served(folder: Path, model: str) -> Iterator[httpx.Client]:
    """A client of a server of its own."""
    program = str(Path(sys.executable).with_name("autorag-whisper"))
    command = [program, "serve", "--port", "0", "--model", model, "--data", str(folder), "--access-log", "none"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = next(found[1] for line in process.stderr if (found := re.search(r"serves (http://\S+)/v1", line)))
        try:
            with httpx.Client(base_url=address, timeout=600) as client:
                yield client
        finally:
            process.terminate()


def align(client: httpx.Client, file: Path) -> None:
    """An edited sentence, again and again."""
    job = client.post("/v1/jobs", files={"file": (file.name, file.read_bytes())}).json()["id"]
    while client.get(f"/v1/jobs/{job}").json()["state"] not in ("done", "failed"):
        time.sleep(0.2)
    measured("waveform, the first time", 1, lambda: client.get(f"/v1/jobs/{job}/peaks").raise_for_status())
    measured("waveform, again", 20, lambda: client.get(f"/v1/jobs/{job}/peaks").raise_for_status())
    segments = client.get(f"/v1/jobs/{job}/transcript").json()["transcript"]["segments"]
    one = max((s for s in segments if s["end"] - s["start"] <= 10), key=lambda s: s["end"] - s["start"])
    words = [word["word"] for word in one["words"]]
    place = len(words) // 2
    text = " ".join([*words[:place], "another", *words[place + 1 :]])
    asked = {"start": one["start"], "end": one["end"], "text": text}
    name = f"align {one['end'] - one['start']:.1f} s, one word of {len(words)}"
    answers = measured(name, 20, lambda: client.post(f"/v1/jobs/{job}/align", json=asked).raise_for_status().json())
    kept = [[word for word in answer["words"] if not word.pop("changed")] for answer in answers]
    same = all(words_ == [w for n, w in enumerate(one["words"]) if n != place] for words_ in kept)
    print(f"unchanged words are exactly as they were: {same}; estimates: {answers[0]['estimated']}")


def document_of(words: int, seed: int) -> dict[str, Any]:
    """A transcript of that many words, ten in a segment."""
    chance = random.Random(seed)
    segments = []
    for n in range(words // 10):
        texts = [chance.choice(WORDS) for _ in range(10)]
        timed = [
            {"word": text, "start": round(4 * n + 0.4 * k, 3), "end": round(4 * n + 0.4 * k + 0.3, 3),
             "probability": 0.9, "source": "characters", "score": 0.9, "space_before": True}
            for k, text in enumerate(texts)
        ]  # fmt: skip
        about = {"id": n, "seek": 0, "seek_s": 0.0, "start": timed[0]["start"], "end": timed[-1]["end"]}
        more = {"text": " ".join(texts), "tokens": [], "language_code": "en", "words": timed, "attempts": []}
        segments.append(about | more)
    text = " ".join(segment["text"] for segment in segments)
    return {"schema_version": 1, "task": "transcribe", "duration": 0.4 * words + 4, "text": text, "segments": segments,
            "spoken_language_code": "en"}  # fmt: skip


def done(store: SqliteJobStore, files: JobFiles, n: int, words: int) -> Job:
    """A job that is done, with a result of that many words."""
    store.add(JobRequest(f"/in/{n}", f"talk {n} {WORDS[n % len(WORDS)]}.mp3", client="ann"), float(n))
    claim = store.claim(30.0, float(n))
    assert claim is not None
    result = files.write_result(claim, json.dumps(document_of(words, n)))
    assert store.finish(claim, float(n), result.name, result.stat().st_size)
    job = store.get(claim.job.id)
    assert job is not None
    return job


def the_store(folder: Path, jobs: int) -> None:
    """Lists, searches, versions."""
    files = JobFiles(folder)
    with closing(SqliteJobStore(folder / "jobs.sqlite3")) as store:
        transcripts = Transcripts(store, files)
        for n in range(jobs):
            done(store, files, n, 500)
        long = done(store, files, jobs, LONG)
        measured(f"index {jobs} transcripts", 1, transcripts.index_all)
        library = store.library
        for sort in Sort:
            measured(f"list 100 of {jobs} by {sort}", 50, lambda sort=sort: library.find("ann", Wanted(sort=sort)))
        measured("list 1000", 20, lambda: library.find("ann", Wanted(limit=1000)))
        measured(
            "list 100, part of a name", 50, lambda: library.find("ann", Wanted(name="bar", states=(JobState.DONE,)))
        )
        measured("search, one word", 50, lambda: library.search("ann", ["ban"]))
        measured("search, three words", 50, lambda: library.search("ann", ["ban", "dest", "filo"]))
        measured("search, beginning of words", 50, lambda: library.search("ann", ["b"]))
        measured("read 30,000 words", 5, lambda: transcripts.read(long, 1))

        def save() -> None:
            job = store.get(long.id)
            assert job is not None
            found = transcripts.read(job, job.version)
            assert found is not None
            words = found[1]["segments"][7]["words"]
            changed = edited(found[1], [{"from": 7, "to": 8, "segments": [{"words": words}]}])
            assert (
                transcripts.save(job, job.version, changed, Version(0, float(job.version), is_draft=True)) is not None
            )

        measured("save an edit of 30,000 words", 5, save)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--jobs", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), given.model) as client:
        align(client, given.file)
    with tempfile.TemporaryDirectory() as folder:
        the_store(Path(folder), given.jobs)


if __name__ == "__main__":
    main()

"""faster-whisper behind a FastAPI route, as a careful user writes it. It imports nothing of this repository's.

One model for all requests, routes in threads so that the event loop stays free, the upload read from its own file, and
no more recognitions at a time than there are workers: more would only take each other's caches.

Environment: MODEL (a folder), THREADS (of each worker), WORKERS (recognitions at a time), BATCH (above 0: the batched
pipeline with that batch size), BEAM.
"""

from __future__ import annotations

import os
import sys
import threading

import uvicorn
from fastapi import FastAPI, File, Form, UploadFile
from faster_whisper import BatchedInferencePipeline, WhisperModel

WORKERS = int(os.environ["WORKERS"])
BATCH = int(os.environ.get("BATCH", "0"))
BEAM = int(os.environ.get("BEAM", "5"))

app = FastAPI()
model = WhisperModel(
    os.environ["MODEL"], device="cpu", compute_type="int8", cpu_threads=int(os.environ["THREADS"]), num_workers=WORKERS
)
transcribe = BatchedInferencePipeline(model).transcribe if BATCH else model.transcribe
options = {"batch_size": BATCH} if BATCH else {}
free = threading.Semaphore(WORKERS)


@app.post("/v1/audio/transcriptions")
def transcriptions(file: UploadFile = File(), language: str = Form("")) -> dict[str, str]:  # noqa: B008 - FastAPI's way
    with free:
        segments, _ = transcribe(file.file, language=language or None, beam_size=BEAM, **options)
        return {"text": "".join(segment.text for segment in segments).strip()}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")

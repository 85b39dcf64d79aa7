"""A job as its client sees it, in JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from autorag_whisper.jobs.job import storable

if TYPE_CHECKING:
    from autorag_whisper.jobs.job import Job


def job_json(job: Job) -> dict[str, Any]:
    """The object `transcription.job`: what a list of jobs, a webhook and the end of its events have of it."""
    body: dict[str, Any] = {
        "id": job.id,
        "object": "transcription.job",
        "state": job.state.value,
        "name": job.request.name,
        "folder": job.request.folder,
        "model": job.request.model,
        "priority": job.request.priority,
        "created_at": job.created_s,
        "progress": {"audio_s": job.audio_s, "total_s": job.total_s or None},
        "attempts": {"deaths": job.deaths, "failures": job.failures},
        "notes": list(job.notes),
        "version": job.version,
        "edited": job.version > 1,
    }
    moments = {"started_at": job.started_s, "finished_at": job.finished_s}
    body |= {name: moment for name, moment in moments.items() if moment}
    return body | ({"error": json.loads(job.error)} if job.error else {})


def ended_payload(job: Job) -> str:
    """The body that a webhook is told the end of a job with; the same in every attempt.

    `{"type": "transcription.job.done", "timestamp": "2026-01-31T12:00:00+00:00", "data": the job}`.
    """
    moment = datetime.fromtimestamp(job.finished_s, UTC).isoformat()
    body = {"type": f"transcription.job.{job.state}", "timestamp": moment, "data": job_json(job)}
    return storable(json.dumps(body, ensure_ascii=False))

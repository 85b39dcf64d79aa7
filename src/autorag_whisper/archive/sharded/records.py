"""A recording's result as it is kept: who it is, what became of it, and all that was recognised."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.errors import AutoragWhisperError, UnavailableError
from autorag_whisper.format import parse, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autorag_whisper.archive.sharded.rows import Row
    from autorag_whisper.domain.transcript import Transcript


def record_of(row: Row, attempt: int, result: Transcript | AutoragWhisperError) -> dict[str, Any]:
    """What is kept of a result or a failure. `result` in it is that of the format `json`."""
    kept: dict[str, Any] = {"id": row.id, "uri": row.uri, "shard": row.shard, "attempt": attempt}
    if row.also:
        kept["also"] = list(row.also)
    if not isinstance(result, AutoragWhisperError):
        return kept | {"result": json.loads(render(result, "json"))}
    error = {
        "type": type(result).__name__,
        "message": result.problem(),
        "remedy": result.remedy,
        "may_succeed_later": isinstance(result, UnavailableError),
    }
    return kept | {"error": error}


def transcript_of(record: Mapping[str, Any]) -> Transcript:
    """The transcript in a result that is done. Raises InvalidTranscript."""
    return parse(json.dumps(record["result"]), name=record["id"])

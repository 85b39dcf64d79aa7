"""A segment alone as JSON, as it is in `verbose_json`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autorag_whisper.domain.transcript import Segment


def segment_json(segment: Segment) -> str:
    """`id`, `start`, `end` (seconds), `text`, `language_code` and `words` of OpenAI's form."""
    words = [{"word": w.text, "start": round(w.start_s, 3), "end": round(w.end_s, 3)} for w in segment.words]
    body = {
        "id": segment.index,
        "start": round(segment.start_s, 3),
        "end": round(segment.end_s, 3),
        "text": segment.text,
        "language_code": segment.language,
        "words": words,
    }
    return json.dumps(body, ensure_ascii=False)

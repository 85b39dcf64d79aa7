"""JSON as it is sent, whatever text is in it."""

from __future__ import annotations

import json
from typing import Any

from fastapi.responses import JSONResponse


def json_text(value: object) -> str:
    """One value as JSON. Raises ValueError for a number that JSON does not have."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def as_bytes(text: str) -> bytes:
    """JSON, or events with it, as UTF-8, which lacks halves of surrogate pairs: those as JSON escapes them."""
    return text.encode("utf-8", "backslashreplace")


class Json(JSONResponse):
    """An answer in JSON; it is written when this is made, which may be in any thread."""

    def render(self, content: Any) -> bytes:
        """As `as_bytes` says."""
        return as_bytes(json_text(content))

"""The JSON Schema of a result, as a file of this package: `transcript.schema.json`."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

SCHEMA_VERSION = 1
"""Rises when a member of the JSON changes its meaning or goes. New members do not raise it: readers ignore them."""


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) that every `render(transcript, "json")` keeps."""
    schema: dict[str, Any] = json.loads(files("autorag_whisper.format").joinpath("transcript.schema.json").read_bytes())
    return schema

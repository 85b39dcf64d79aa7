"""What one process is asked to do, and what it says it did. Standard library alone: peers run in other environments."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

ENGINES = {
    "ours": "autorag-whisper",
    "fw-sequential": "faster-whisper, its defaults, word times on",
    "fw-batched": "faster-whisper, batches of 8, word times on",
    "whisperx": "whisperX, recognition alone, batches of 8, pyannote's voice activity",
}
"""Every engine by name, and how it is set up."""

PEER_BATCH_SIZE = 8


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """An engine with options of its own: `ours:quality=fast+beam_size=2` in one word."""

    name: str
    options: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise ValueError(f"no engine {self.name!r}: use {', '.join(ENGINES)}")

    @classmethod
    def parse(cls, text: str) -> EngineChoice:
        """Read the form that `label` writes. Raises ValueError."""
        name, _, options = text.partition(":")
        pairs = [option.partition("=") for option in options.split("+") if option]
        if any(not key or not sign for key, sign, _ in pairs):
            raise ValueError(f"options of an engine are NAME=VALUE with + between them, not {options!r}")
        return cls(name, tuple((key, value) for key, _, value in pairs))

    @property
    def label(self) -> str:
        """How it stands in tables and file names."""
        options = "+".join(f"{key}={value}" for key, value in self.options)
        return f"{self.name}:{options}" if options else self.name

    def values(self) -> dict[str, Any]:
        """The options with numbers, true, false and null read as in JSON, and anything else as text."""
        return {key: _value(text) for key, text in self.options}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@dataclass(frozen=True, slots=True)
class Job:
    """One engine over files, in one process. `folder` holds the weights; `model` is their name."""

    engine: EngineChoice
    model: str
    folder: str
    threads: int
    files: tuple[str, ...]
    warm_up: str

    def to_json(self) -> dict[str, Any]:
        """For the worker's standard input, and to know a finished run again."""
        return json.loads(json.dumps(asdict(self) | {"engine": self.engine.label}))

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Job:
        """What `to_json` wrote."""
        return cls(**row | {"engine": EngineChoice.parse(row["engine"]), "files": tuple(row["files"])})


@dataclass(frozen=True, slots=True)
class Heard:
    """What an engine made of one file. `engine_s`: what ours charges the file itself, 0 for the others.

    Ours alone says where it found speech without words (`holes`, spans in seconds), and which text it did not believe.
    """

    path: str
    language: str = ""
    text: str = ""
    words: tuple[dict[str, Any], ...] = ()
    duration_s: float = 0.0
    engine_s: float = 0.0
    error: str = ""
    holes: tuple[tuple[float, float], ...] = ()
    rejected: tuple[tuple[float, float, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one process, without what came before its first file.

    `calls_s` is the time inside the engine's encode, generate, align and detect_language, summed over threads: with
    `workers` threads nothing can be done before `calls_s / workers`; `by_call_s` has it apart, by the call's name.
    """

    load_s: float
    wall_s: float
    cpu_s: float
    peak_mb: float
    calls_s: float
    workers: int
    heard: tuple[Heard, ...]
    versions: dict[str, str] = field(default_factory=dict)
    by_call_s: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Run:
        """What `dataclasses.asdict` and JSON made of it."""
        return cls(**row | {"heard": tuple(Heard(**item) for item in row["heard"])})

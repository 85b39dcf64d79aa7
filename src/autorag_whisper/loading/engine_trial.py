"""The trial of the native engine: the packaged clip through both engines, once for a machine, a library and a model.

While it lasts both have the weights in memory; after it one of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import threading
from dataclasses import asdict
from difflib import SequenceMatcher
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.audio.features import log_mel
from autorag_whisper.engines.base import LEAST_FRAMES, WINDOW_FRAMES, Decoding
from autorag_whisper.loading.engine_choice import Trial
from autorag_whisper.models.building import one_at_a_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.engines.base import Encoded, Hypothesis, WhisperModel

_FORMAT = 1
_TURNS = 2


def try_out(native: WhisperModel, reference: WhisperModel, samples: Samples, clock: Callable[[], float]) -> Trial:
    """Both engines over the clip, in turns. `clock`: processor seconds of this process. Raises what an engine raises.

    Compared are the probabilities of the reference's own text, given to both token by token, and what each writes.
    """
    found: dict[int, tuple[Encoded, Hypothesis]] = {}
    seconds: dict[int, float] = {}
    for _ in range(_TURNS):
        for engine in (reference, native):
            began = clock()
            found[id(engine)] = _heard(engine, samples)
            seconds[id(engine)] = min(seconds.get(id(engine), np.inf), clock() - began)
    text = found[id(reference)][1].token_ids
    if not text:
        return Trial(np.inf, np.inf, 0.0, seconds[id(native)], seconds[id(reference)])
    told = [_probabilities(engine, found[id(engine)][0], text) for engine in (native, reference)]
    apart = np.abs(told[0] - told[1])
    written = found[id(native)][1].token_ids
    alike = SequenceMatcher(None, written, text, autojunk=False).ratio()
    return Trial(float(apart.max()), float(apart.mean()), alike, seconds[id(native)], seconds[id(reference)])


def _heard(engine: WhisperModel, samples: Samples) -> tuple[Encoded, Hypothesis]:
    features = np.zeros((1, engine.spec.n_mels, WINDOW_FRAMES), np.float32)
    mel = log_mel(samples, engine.spec.n_mels)[:, :WINDOW_FRAMES]
    features[0, :, : mel.shape[1]] = mel
    encoded = engine.encode(features)
    [text] = engine.generate(encoded, [engine.tokenizer.prompt("en", "transcribe")], Decoding())
    return encoded, text


def _probabilities(engine: WhisperModel, encoded: Encoded, tokens: tuple[int, ...]) -> np.ndarray:
    start = engine.tokenizer.start_sequence("en", "transcribe")
    [times] = engine.align(encoded, start, [tokens], [LEAST_FRAMES])
    return times.probabilities


class KeptTrials:
    """Trials of this machine, kept by what they depend on: processor, both engines, instruction set, weights.

    `reference`: the version of CTranslate2, "" for the one that is installed.
    """

    def __init__(self, cache_dir: Path, library: Path, instruction_set: str, reference: str = "") -> None:
        self._places, self._library, self._instruction_set = cache_dir / "engine_trials", library, instruction_set
        with contextlib.suppress(metadata.PackageNotFoundError):  # as in programs that are frozen into one file
            reference = reference or metadata.version("ctranslate2")
        self._reference = reference

    def kept(self, folder: Path) -> Trial | None:
        """The trial of this model; None where there was none, or anything is another now."""
        try:
            told = json.loads(self._place(folder).read_bytes())
            return Trial(**{name: float(told[name]) for name in Trial.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def all(self) -> list[tuple[Path, Trial]]:
        """Every trial that still holds, with the folder of its weights."""
        found = []
        for file in sorted(self._places.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                folder = Path(json.loads(file.read_bytes())["folder"])
                trial = self.kept(folder) if self._place(folder) == file else None
                found += [(folder, trial)] if trial is not None else []
        return found

    def keep(self, trial: Trial, folder: Path) -> None:
        """Keep it, whole or not at all; where it cannot be kept the next start tries again."""
        with contextlib.suppress(OSError):
            place = self._place(folder)
            temporary = place.with_name(f".{place.name}.tmp-{os.getpid()}-{threading.get_ident()}")
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                told = asdict(trial) | {"folder": str(folder.absolute())}
                temporary.write_text(json.dumps(told), encoding="utf-8")
                temporary.replace(place)
            finally:
                temporary.unlink(missing_ok=True)

    def one_at_a_time(self, folder: Path) -> AbstractContextManager[None]:
        """Around a trial of this model: other processes wait for it, and find it kept. Raises OSError.

        Two at a time would have four models in memory, and take the processor from each other.
        """
        return one_at_a_time(self._place(folder))

    def _place(self, folder: Path) -> Path:
        """By the weights' place, size and time, as their digest would cost a second a gigabyte. Raises OSError."""
        parts = [str(_FORMAT), processor(), self._instruction_set, self._reference]
        for file in (self._library, folder / "model.bin"):
            stat = file.stat()
            parts += [str(file.absolute()), str(stat.st_size), str(stat.st_mtime_ns)]
        name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        return self._places / f"{name}.json"


def processor() -> str:
    """This machine's processor, as the system names it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return f"{platform.machine()} {line.partition(':')[2].strip()}"
    return f"{platform.machine()} {platform.processor()}"

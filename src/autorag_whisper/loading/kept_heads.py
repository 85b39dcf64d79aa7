"""Alignment heads that were found by calibration, kept by what the model's folder holds."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.loading.small_vocabulary import decoder_shape
from autorag_whisper.models import building

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

_FORMAT = 1
_SMALL_LAYERS = 6


@dataclass(frozen=True, slots=True)
class KeptHeads:
    """What was found for a model: heads (decoder layer, head) and their lateness; no heads: none was good enough."""

    heads: tuple[tuple[int, int], ...] = ()
    late_s: float = 0.0
    tokens_early_s: float = 0.0


def candidates(folder: Path) -> tuple[tuple[int, int], ...]:
    """Heads worth a trial: those that the configuration names for tokens; of a small decoder all of the upper half too.

    In a larger one each trial takes seconds, and it has heads enough. Raises OSError, KeyError, ValueError.
    """
    config = json.loads((folder / "config.json").read_bytes())
    own = [(int(layer), int(head)) for layer, head in config["alignment_heads"]]
    layers, heads = decoder_shape(folder)
    upper = range(layers // 2, layers) if layers <= _SMALL_LAYERS else ()
    return tuple(dict.fromkeys([*own, *itertools.product(upper, range(heads))]))


def one_at_a_time(folder: Path, cache_dir: Path) -> AbstractContextManager[None]:
    """Around a calibration of this model: other processes wait for it, and find what was kept. Raises OSError."""
    return building.one_at_a_time(_place(folder, cache_dir))


def kept(folder: Path, cache_dir: Path) -> KeptHeads | None:
    """What was kept for this model; None if it was never calibrated, or its files are others now."""
    try:
        told = json.loads(_place(folder, cache_dir).read_bytes())
        heads = tuple((int(layer), int(head)) for layer, head in told["heads"])
        return KeptHeads(heads, float(told["late_s"]), float(told["tokens_early_s"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(found: KeptHeads, folder: Path, cache_dir: Path) -> None:
    """Keep it, whole or not at all. A cache that cannot be written costs time at the next start, not the run."""
    place = _place(folder, cache_dir)
    temporary = place.with_name(f".{place.name}.tmp-{os.getpid()}-{threading.get_ident()}")
    told = {"heads": found.heads, "late_s": found.late_s, "tokens_early_s": found.tokens_early_s}
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(told), encoding="utf-8")
        temporary.replace(place)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _place(folder: Path, cache_dir: Path) -> Path:
    """By the weights' place, size and time, and the configuration: their digest would cost a second a gigabyte."""
    stat = (folder / "model.bin").stat()
    told = f"{_FORMAT}\n{folder.absolute()}\n{stat.st_size}\n{stat.st_mtime_ns}\n".encode()
    return cache_dir / "heads" / f"{hashlib.sha256(told + (folder / 'config.json').read_bytes()).hexdigest()[:16]}.json"

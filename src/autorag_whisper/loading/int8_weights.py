"""A model folder with its weights as int8: what the engine makes of them at every load for a CPU, made once.

A load then reads half the bytes and computes nothing. The numbers are those of the engine's own converter
(`ctranslate2.specs.model_spec`, quantization "int8"): of each row of a matrix the largest magnitude is 127.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from autorag_whisper.models.building import are_linked, building, link_files, locked
from autorag_whisper.models.model_bin import Kind, Piecewise, opened, write

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from autorag_whisper.models.model_bin import Variable, Weights

_FORMAT = 1
"""Counted up when what is made changes: what was made before is then made anew."""
_WEIGHTS, _NOTE = "model.bin", "made_of.json"
_ROWS = 512
_FLOATS: dict[int, type[np.float32 | np.float16]] = {Kind.FLOAT32: np.float32, Kind.FLOAT16: np.float16}


class Int8Rows(NamedTuple):
    """Rows of int8, and what each was multiplied by."""

    rows: NDArray[np.int8]
    scales: NDArray[np.float32]


def with_int8_weights(folder: Path, cache_dir: Path) -> Path:
    """The folder in `cache_dir` that is `folder` with weights of int8; `folder` itself where they are so already.

    Made once, again when the model is replaced; it takes half the space of one of float16. Raises OSError where it
    cannot be made or the disk would be full, ValueError where the weights are not what this module knows.
    """
    place = cache_dir / "int8" / hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
    if _is_made(folder, place):
        return place
    with opened(folder / _WEIGHTS) as (weights, data):
        if not any(_is_matrix(variable) for variable in weights.variables):
            return folder
        place.parent.mkdir(parents=True, exist_ok=True)
        with locked(place):
            if not _is_made(folder, place):
                _make(folder, weights, data, place)
    return place


def _make(folder: Path, weights: Weights, data: mmap.mmap, place: Path) -> None:
    _forget_models_that_are_gone(place.parent)
    if shutil.disk_usage(place.parent).free < 2 * len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with building(place, lambda: _is_made(folder, place)) as new:
        _write(weights, data, new / _WEIGHTS)
        link_files(folder, new, but=_WEIGHTS)
        note = _note(folder) | {"int8_bytes": (new / _WEIGHTS).stat().st_size}
        (new / _NOTE).write_text(json.dumps(note), encoding="utf-8")


def _note(folder: Path) -> dict[str, object]:
    stat = (folder / _WEIGHTS).stat()
    return {"format": _FORMAT, "folder": str(folder.absolute()), "bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}


def _is_made(folder: Path, place: Path) -> bool:
    """Whether it is whole, and of the files as they are now."""
    try:
        note = json.loads((place / _NOTE).read_bytes())
        made_of_it = note == _note(folder) | {"int8_bytes": (place / _WEIGHTS).stat().st_size}
    except (OSError, ValueError):
        return False
    return made_of_it and are_linked(folder, place, but=_WEIGHTS)


def _forget_models_that_are_gone(parent: Path) -> None:
    """Remove what was made of models that are not there any more."""
    for note in parent.glob(f"*/{_NOTE}"):
        try:
            is_gone = not Path(json.loads(note.read_bytes())["folder"], _WEIGHTS).exists()
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if is_gone:
            shutil.rmtree(note.parent, ignore_errors=True)


def _write(weights: Weights, data: mmap.mmap, path: Path) -> None:
    variables = [new for variable in weights.variables for new in _converted(variable, data)]
    matrices = {variable.name for variable in weights.variables if _is_matrix(variable)}
    scales = [(_scale(alias), _scale(name)) for alias, name in weights.aliases if name in matrices]
    with path.open("wb") as target:
        write(target, weights, variables, [*weights.aliases, *scales])
        target.flush()
        os.fsync(target.fileno())  # a whole name for half a file is what a power cut must not leave


def _is_matrix(variable: Variable) -> bool:
    """A matrix that the engine multiplies as int8: linear layers and embeddings, not convolutions."""
    layer, _, last = variable.name.rpartition("/")
    holds_int8 = layer.rpartition("/")[2].startswith(("linear", "embeddings"))
    return last == "weight" and len(variable.shape) == 2 and variable.kind in _FLOATS and holds_int8


def _scale(name: str) -> str:
    return f"{name}_scale"


def _converted(variable: Variable, data: mmap.mmap) -> Iterator[Piecewise]:
    """The variable as it was; or of a matrix its rows and, behind them, what each was multiplied by."""
    if not _is_matrix(variable):
        whole = (data[variable.at : variable.at + variable.size] for _ in range(1))
        yield Piecewise(variable.name, variable.shape, variable.kind, variable.size, whole)
        return
    scales: list[bytes] = []  # filled while the rows are written, which come first

    def rows() -> Iterator[bytes]:
        for block in _blocks(variable, data):
            scales.append(block.scales.tobytes())
            yield block.rows.tobytes()

    count, columns = variable.shape
    yield Piecewise(variable.name, variable.shape, Kind.INT8, count * columns, rows())
    yield Piecewise(_scale(variable.name), (count,), Kind.FLOAT32, 4 * count, scales)


def _blocks(variable: Variable, data: mmap.mmap) -> Iterator[Int8Rows]:
    """A few rows at a time, so that what is in memory is small."""
    rows, columns = variable.shape
    kind = np.dtype(_FLOATS[variable.kind])
    for first in range(0, rows, _ROWS):
        count = min(_ROWS, rows - first)
        at = variable.at + first * columns * kind.itemsize
        values = np.frombuffer(data[at : at + count * columns * kind.itemsize], kind).reshape(count, columns)
        yield quantize(values.astype(np.float32))


def quantize(values: NDArray[np.float32]) -> Int8Rows:
    """float32[rows, columns] as int8[rows, columns] and float32[rows]: what each row was multiplied by."""
    most = np.abs(values).max(axis=1)
    most[most == 0] = 127.0
    scales = np.float32(127.0) / most
    return Int8Rows(np.rint(values * scales[:, None]).astype(np.int8), scales)

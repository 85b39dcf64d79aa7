"""The kernels of `native/kernels` as functions of numpy arrays: for tests and measurements of them alone.

The library is compiled from the checkout into `build/kernels` when a test first asks for it; one that is named by
AUTORAG_WHISPER_KERNELS (built with sanitizers, or for another processor) is taken instead.
"""

from __future__ import annotations

import ctypes as c
import fcntl
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

ROOT = Path(__file__).resolve().parent.parent
LIBRARY, REQUIRE = "AUTORAG_WHISPER_KERNELS", "AUTORAG_WHISPER_REQUIRE_NATIVE"
_X86 = ("avx2", "avx_vnni", "avx512_vnni", "avx512_bf16")
NAMES = ("scalar", *(("neon_dotprod",) if platform.machine() in {"aarch64", "arm64"} else _X86))
"""The tables that are built for this kind of processor; it need not run them all."""
STORE, ADD, GELU = 0, 1, 2
HEAD = 64

# The fields of awc::Kernels, in their order.
_FUNCTIONS = [
    "layer_norm",
    "quantize",
    "to_bfloat16",
    "linear_bytes",
    "linear_pack",
    "linear",
    "linear_row",
    "project",
    "convolution_bytes",
    "convolution_pack",
    "convolution",
    "encoder_attention",
    "self_attention",
    "cross_bytes",
    "cross_pack",
    "cross_attention",
    "cross_scores",
]
_SIZES = {"linear_bytes", "convolution_bytes", "cross_bytes"}


def _build() -> Path:
    folder = ROOT / "build" / "kernels"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:  # tests run in two processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (
            ["cmake", "-S", ROOT / "native", "-B", folder, "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=ON"],
            ["cmake", "--build", folder, "--target", "autorag_whisper_kernels", "--parallel", "2"],
        ):
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    return folder / "libautorag_whisper_kernels.so"


@cache
def library() -> c.CDLL:
    """Skips the test where the library cannot be built; fails it where AUTORAG_WHISPER_REQUIRE_NATIVE is set."""
    if named := os.environ.get(LIBRARY):
        path = Path(named)
    elif missing := [tool for tool in ("cmake", "c++") if shutil.which(tool) is None]:
        problem = f"the kernels cannot be compiled here: no {' and no '.join(missing)}"
        if os.environ.get(REQUIRE):
            pytest.fail(problem)
        pytest.skip(problem)
    else:
        path = _build()
    loaded = c.CDLL(str(path))
    loaded.awk_kernels.restype = c.c_void_p
    loaded.awk_scratch_new.restype = c.c_void_p
    loaded.awk_scratch_free.argtypes = [c.c_void_p]
    return loaded


@cache
def available() -> tuple[str, ...]:
    """The instruction sets that are built and that this processor runs."""
    return tuple(name for name in NAMES if library().awk_kernels(name.encode()))


def objects(name: str) -> list[Path]:
    """What was compiled of one table: a file, or none where it is of another processor or the library was named."""
    library()
    return [] if os.environ.get(LIBRARY) else list((ROOT / "build" / "kernels").rglob(f"{name}.cpp.o"))


class _QuantizedRows(c.Structure):
    _fields_ = (("values", c.c_void_p), ("scales", c.c_void_p), ("sums", c.c_void_p))


class _Projection(c.Structure):
    _fields_ = (
        ("suppressed", c.c_void_p),
        ("text_end", c.c_int),
        ("best", c.c_int),
        ("log_sum", c.c_void_p),
        ("text_log_sum", c.c_void_p),
        ("best_logits", c.c_void_p),
        ("best_tokens", c.c_void_p),
    )


class _Memory:
    """Bytes aligned to 64, and not one more than were asked for: a sanitizer sees what reads past them."""

    def __init__(self, size: int) -> None:
        self._libc = c.CDLL(None)
        self._libc.free.argtypes = [c.c_void_p]
        pointer = c.c_void_p()
        assert self._libc.posix_memalign(c.byref(pointer), c.c_size_t(64), c.c_size_t(max(size, 1))) == 0
        self.address, self.size = pointer.value, size

    def __del__(self) -> None:
        self._libc.free(self.address)

    def array(self, kind: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        flat = (c.c_char * self.size).from_address(self.address or 0)
        array = np.frombuffer(flat, kind).reshape(shape)
        flat._memory = self
        return array


def aligned(values: NDArray[Any]) -> NDArray[Any]:
    """A copy of it in memory of its own, aligned to 64 bytes."""
    copy = _Memory(values.nbytes).array(values.dtype, values.shape)
    copy[...] = values
    return copy


@dataclass(frozen=True)
class Rows:
    """x[r, k] ~ values[r, k] * scales[r]."""

    values: NDArray[np.int8]
    scales: Floats
    sums: NDArray[np.int32]

    def only(self, row: int) -> Rows:
        one = slice(row, row + 1)
        return Rows(aligned(self.values[one]), self.scales[one].copy(), self.sums[one].copy())


@dataclass(frozen=True)
class Packed:
    """Opaque weights of a table, with their sizes."""

    memory: _Memory
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Projected:
    log_sum: Floats
    text_log_sum: Floats
    logits: Floats
    tokens: NDArray[np.int32]


def _at(array: NDArray[Any] | None) -> c.c_void_p:
    if array is None:
        return c.c_void_p(None)
    assert array.flags.c_contiguous
    return c.c_void_p(array.ctypes.data)


def _floats(array: Any) -> Floats:
    return np.ascontiguousarray(array, np.float32)


class Kernels:
    """One table. Each method allocates what it returns."""

    def __init__(self, name: str) -> None:
        self._library = library()
        table = self._library.awk_kernels(name.encode())
        if not table:
            pytest.skip(f"no {name} here")
        pointers = (c.c_void_p * (1 + len(_FUNCTIONS))).from_address(table)
        self.name = c.string_at(pointers[0] or 0).decode()
        self._functions = {
            name: c.CFUNCTYPE(c.c_size_t if name in _SIZES else None)(pointer or 0)
            for name, pointer in zip(_FUNCTIONS, pointers[1:], strict=True)
        }
        self._scratch = c.c_void_p(self._library.awk_scratch_new())

    def close(self) -> None:
        self._library.awk_scratch_free(self._scratch)

    def _call(self, function: str, *arguments: Any) -> Any:
        return self._functions[function](*(c.c_int(a) if isinstance(a, int) else a for a in arguments))

    def layer_norm(self, x: Floats, gamma: Floats, beta: Floats) -> Floats:
        y = np.empty_like(x)
        self._call("layer_norm", _at(x), *x.shape, _at(gamma), _at(beta), _at(y))
        return y

    def quantize(self, x: Floats) -> Rows:
        rows, width = x.shape
        values = _Memory(rows * width).array(np.int8, x.shape)
        to = Rows(values, np.empty(rows, np.float32), np.empty(rows, np.int32))
        self._call("quantize", _at(x), rows, width, width, c.byref(self._rows(to)))
        return to

    @staticmethod
    def _rows(rows: Rows) -> _QuantizedRows:
        return _QuantizedRows(_at(rows.values), _at(rows.scales), _at(rows.sums))

    def to_bfloat16(self, x: Floats) -> NDArray[np.uint16]:
        y = np.empty(x.shape, np.uint16)
        self._call("to_bfloat16", _at(x), c.c_size_t(x.size), _at(y))
        return y

    def linear_pack(self, weights: NDArray[np.int8], factors: Floats, bias: Floats | None) -> Packed:
        outputs, inputs = weights.shape
        memory = _Memory(self._call("linear_bytes", outputs, inputs))
        self._call("linear_pack", _at(weights), _at(factors), _at(bias), outputs, inputs, c.c_void_p(memory.address))
        return Packed(memory, weights.shape)

    def linear(self, x: Rows, w: Packed, then: int, out: Floats, first: int = 0) -> Floats:
        """Outputs first .. first + out.shape[1]; `out` is changed and returned."""
        outputs, inputs = w.sizes
        self._call(
            "linear", c.byref(self._rows(x)), len(x.scales), c.c_void_p(w.memory.address), outputs, inputs,
            first, first + out.shape[1], then, c.c_void_p(out.ctypes.data), out.strides[0] // 4,
        )  # fmt: skip
        return out

    def linear_row(self, w: Packed, row: int) -> Floats:
        out = np.empty(w.sizes[1], np.float32)
        self._call("linear_row", c.c_void_p(w.memory.address), *w.sizes, row, _at(out))
        return out

    def project(self, x: Rows, w: Packed, suppressed: NDArray[np.uint8] | None, text_end: int, best: int) -> Projected:
        rows = len(x.scales)
        to = Projected(
            *(np.full(rows, np.nan, np.float32) for _ in range(2)),
            np.full((rows, best), np.nan, np.float32),
            np.full((rows, best), -2, np.int32),
        )
        projection = _Projection(
            _at(suppressed), text_end, best, _at(to.log_sum), _at(to.text_log_sum), _at(to.logits), _at(to.tokens)
        )
        self._call(
            "project", c.byref(self._rows(x)), rows, c.c_void_p(w.memory.address), *w.sizes,
            c.byref(projection), self._scratch,
        )  # fmt: skip
        return to

    def convolution_pack(self, weights: Floats, bias: Floats) -> Packed:
        outputs, channels, _ = weights.shape
        memory = _Memory(self._call("convolution_bytes", outputs, channels))
        self._call("convolution_pack", _at(weights), _at(bias), outputs, channels, c.c_void_p(memory.address))
        return Packed(memory, (outputs, channels))

    def convolution(self, x: Floats, step: int, w: Packed, added: Floats | None) -> Floats:
        frames, channels = x.shape
        out = np.full(((frames + step - 1) // step, w.sizes[0]), np.nan, np.float32)
        self._call(
            "convolution", _at(x), frames, channels, step, c.c_void_p(w.memory.address), w.sizes[0], _at(added),
            _at(out), self._scratch,
        )  # fmt: skip
        return out

    def encoder_attention(self, qkv: Floats) -> Floats:
        frames, width = qkv.shape
        out = np.full((frames, width // 3), np.nan, np.float32)
        self._call("encoder_attention", _at(qkv), frames, width // (3 * HEAD), _at(out), self._scratch)
        return out

    def self_attention(self, q: Floats, keys: NDArray[np.uint16], values: NDArray[np.uint16]) -> Floats:
        count, width = keys.shape
        out = np.full(width, np.nan, np.float32)
        pointers = [
            (c.c_void_p * count)(*(array.ctypes.data + array.strides[0] * j for j in range(count)))
            for array in (keys, values)
        ]
        self._call("self_attention", _at(q), *pointers, count, width // HEAD, _at(out), self._scratch)
        return out

    def cross_pack(self, kv: Floats) -> Packed:
        frames, width = kv.shape
        heads = width // (2 * HEAD)
        memory = _Memory(self._call("cross_bytes", frames, heads))
        self._call("cross_pack", _at(kv), frames, heads, c.c_void_p(memory.address), self._scratch)
        return Packed(memory, (frames, heads))

    def cross_attention(self, w: Packed, q: Floats) -> Floats:
        out = np.full_like(q, np.nan)
        self._call("cross_attention", c.c_void_p(w.memory.address), *w.sizes, _at(q), len(q), _at(out), self._scratch)
        return out

    def cross_scores(self, w: Packed, head: int, q: Floats, frames: int) -> Floats:
        out = np.full((len(q), frames), np.nan, np.float32)
        self._call(
            "cross_scores", c.c_void_p(w.memory.address), *w.sizes, head, _at(q), len(q), frames, _at(out),
            self._scratch,
        )  # fmt: skip
        return out


@cache
def kernels(name: str) -> Kernels:
    return Kernels(name)


def all_kernels() -> Sequence[Kernels]:
    return [kernels(name) for name in available()]


def features(*registers: int) -> int:
    """What `features_of` finds in CPUID 1 ecx, 7 ebx, 7 ecx, 7.1 eax, and XCR0: bits as in kernel_face.cpp."""
    kinds = (c.c_uint32, c.c_uint32, c.c_uint32, c.c_uint32, c.c_uint64)
    return int(library().awk_features(*(kind(value) for kind, value in zip(kinds, registers, strict=True))))

"""The native library by ctypes: `native/include/autorag_whisper_cpu.h` says what each function does.

The interpreter's lock is free during every call.
"""

from __future__ import annotations

import ctypes as c
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.errors import Cancelled

if TYPE_CHECKING:
    from autorag_whisper.engines.native_weights import WhisperShape

ABI = 3
_STEM, _SUFFIXES = "autorag_whisper_cpu", (".so", ".dylib", ".dll")
_OK, _OUT_OF_MEMORY, _CANCELLED = 0, 3, 4


class NativeUnavailableError(Exception):
    """Why there is no native engine here: one line."""


class NativeCallError(RuntimeError):
    """The library refused a call, or failed at it: one line of its own."""


class CTensor(c.Structure):
    """`awc_tensor`."""

    _fields_ = [
        ("name", c.c_char_p),
        ("type", c.c_int32),
        ("rank", c.c_int32),
        ("shape", c.c_int64 * 4),
        ("data", c.c_void_p),
        ("bytes", c.c_size_t),
    ]


class CError(c.Structure):
    """`awc_error`."""

    _fields_ = [("message", c.c_char * 256)]


class CTokens(c.Structure):
    """`awc_tokens`."""

    _fields_ = [(name, c.c_int32) for name in ("start_of_transcript", "end_of_text", "no_speech", "no_timestamps")]


class CShape(c.Structure):
    """`awc_shape`."""

    _fields_ = [
        (name, c.c_int32)
        for name in (
            "mels",
            "width",
            "heads",
            "encoder_layers",
            "decoder_layers",
            "vocabulary",
            "max_frames",
            "context",
        )
    ]


class CSearch(c.Structure):
    """`awc_search`."""

    _fields_ = [
        ("hypotheses", c.c_int32),
        ("temperature", c.c_float),
        ("seed", c.c_uint64),
        ("patience", c.c_float),
        ("length_penalty", c.c_float),
        ("repetition_penalty", c.c_float),
        ("no_repeat_ngram", c.c_int32),
        ("max_new_tokens", c.c_int32),
        ("suppressed", c.c_void_p),
        ("suppressed_count", c.c_int32),
        ("suppressed_first", c.c_void_p),
        ("suppressed_first_count", c.c_int32),
    ]


class CTexts(c.Structure):
    """`awc_texts`."""

    _fields_ = [
        ("capacity", c.c_int32),
        ("tokens", c.c_void_p),
        ("lengths", c.c_void_p),
        ("totals", c.c_void_p),
        ("scores", c.c_void_p),
        ("finished", c.c_void_p),
        ("no_speech", c.c_void_p),
        ("log_probabilities", c.c_void_p),
        ("text_probabilities", c.c_void_p),
    ]


Pointer = c.c_void_p
_P, _I, _E = c.c_void_p, c.c_int32, c.POINTER(CError)
_STATUS: dict[str, list[Any]] = {
    "awc_model_new": [c.POINTER(CTensor), c.c_size_t, c.POINTER(CTokens), c.c_char_p, c.POINTER(_P), _E],
    "awc_encode": [_P, _P, _I, _P, _P, _E],
    "awc_audio_new": [_P, _P, _I, _P, c.POINTER(_P), _E],
    "awc_first_token_probabilities": [_P, _P, _I, _P, _I, _P, _P, _E],
    "awc_generate": [_P, _P, _I, _P, _P, c.POINTER(CSearch), _P, c.POINTER(CTexts), _E],
    "awc_align": [_P, _P, _P, _I, _P, _I, _I, _P, _I, _I, _P, _P, _P, _E],
    "awc_forced_logits": [_P, _P, _P, _I, _P, _P, _E],
    "awc_letters_new": [c.POINTER(CTensor), c.c_size_t, c.c_char_p, c.POINTER(_P), _E],
    "awc_letters_hear": [_P, _P, _I, _P, _E],
    "awc_best_path": [_P, _I, _I, _P, _I, _P, _P, _P, _P, _E],
}
"""Functions whose result says whether they failed, and whose last argument says how."""
_OTHERS: dict[str, tuple[Any, list[Any]]] = {
    "awc_abi": (_I, []),
    "awc_instruction_set": (c.c_char_p, [c.c_char_p]),
    "awc_model_free": (None, [_P]),
    "awc_model_shape": (None, [_P, c.POINTER(CShape)]),
    "awc_model_instruction_set": (c.c_char_p, [_P]),
    "awc_model_bytes_for": (c.c_size_t, [c.POINTER(CShape)]),
    "awc_model_bytes": (c.c_size_t, [_P]),
    "awc_audio_bytes": (c.c_size_t, [_P, _I]),
    "awc_encode_bytes": (c.c_size_t, [_P, _I]),
    "awc_generate_bytes": (c.c_size_t, [_P, _I, _I, _I, _I]),
    "awc_model_trim": (None, [_P]),
    "awc_audio_free": (None, [_P]),
    "awc_letters_free": (None, [_P]),
}


class NativeLibrary:
    """The loaded library. Thread-safe."""

    def __init__(self, path: Path) -> None:
        """Raises NativeUnavailableError where it does not load or is of another version of the package."""
        self.path = path
        try:
            self._functions = c.CDLL(str(path))
            version = int(self._functions.awc_abi())
        except (OSError, AttributeError) as error:
            reason = str(error).partition("\n")[0]
            raise NativeUnavailableError(f"the native library does not load: {reason}") from error
        if version != ABI:
            raise NativeUnavailableError(f"the native library is of version {version}, not {ABI}: build it again")
        for name, arguments in _STATUS.items():
            getattr(self._functions, name).argtypes = arguments
            getattr(self._functions, name).restype = c.c_int
        for name, (result, arguments) in _OTHERS.items():
            getattr(self._functions, name).argtypes = arguments
            getattr(self._functions, name).restype = result

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that may fail. Raises NativeCallError, MemoryError, Cancelled."""
        error = CError()
        status = getattr(self._functions, name)(*arguments, c.byref(error))
        if status == _OK:
            return
        if status == _CANCELLED:
            raise Cancelled
        message = error.message.decode("utf-8", errors="replace") or f"{name} failed ({status})"
        if status == _OUT_OF_MEMORY:
            raise MemoryError(message)
        raise NativeCallError(message)

    def tell(self, name: str, *arguments: Any) -> Any:
        """Call a function that cannot fail."""
        return getattr(self._functions, name)(*arguments)

    def instruction_set(self, wanted: str = "") -> str | None:
        """What would be used for `wanted`, or "" for the best one here; None where there is none of that name."""
        found = self.tell("awc_instruction_set", wanted.encode() or None)
        return found.decode() if found else None

    def model_bytes(self, shape: WhisperShape) -> int:
        """What a model of this shape takes, told before it is loaded."""
        return int(self.tell("awc_model_bytes_for", c.byref(_c_shape(shape))))


@cache
def native_library() -> NativeLibrary:
    """The one that is installed with this package. Raises NativeUnavailableError."""
    found = library_in(Path(__file__).parent)
    if found is None:
        raise NativeUnavailableError("this installation has no native library: it was built without a C++ compiler")
    return NativeLibrary(found)


def library_in(folder: Path) -> Path | None:
    """The library's file there; not one that a build has not finished, which has another suffix."""
    return next((path for path in sorted(folder.glob(f"*{_STEM}.*")) if path.suffix in _SUFFIXES), None)


class Held:
    """One of the library's handles, freed once, whichever threads ask for it."""

    def __init__(self, library: NativeLibrary, free: str, handle: Any) -> None:
        self._library, self._free, self._handles = library, free, [handle]

    def __bool__(self) -> bool:
        return bool(self._handles)

    @property
    def value(self) -> Any:
        if not self._handles:
            raise NativeCallError("the model was closed")
        return self._handles[0]

    def free(self) -> None:
        try:
            handle = (
                self._handles.pop()
            )  # one step of the interpreter: a lock could be held by a thread that a fork lost
        except IndexError:
            return
        self._library.tell(self._free, handle)


def _c_shape(shape: WhisperShape) -> CShape:
    return CShape(
        shape.mels,
        shape.width,
        shape.heads,
        shape.encoder_layers,
        shape.decoder_layers,
        shape.vocabulary,
        shape.positions,
        shape.context,
    )

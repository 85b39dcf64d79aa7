"""Which failures are the card's: one table of the engines' own messages, asked only about calls into an engine on CUDA.

The messages are those of CTranslate2's source (`cuda/utils.h`, `cuda/cublas_stub.cc`), of the CUDA runtime's error
strings, and of Thrust, which CTranslate2 calls for part of its work and whose errors name the runtime's constants
("parallel_for failed: cudaErrorNoKernelImageForDevice: ..."). They are matched from the message's start, where an
engine puts them, never as a word that may stand in a file's name. None of this was ever run on a card; the messages
were read, in source and in other people's reports.
"""

from __future__ import annotations

import re

from autorag_whisper.domain.device import FailureCause

_CUDA = r"^CUDA failed with error "
_CUBLAS = r"^(?:cuBLAS failed with status|CUDA error:) CUBLAS_STATUS_"
_CUDNN = r"^cuDNN failed with (?:status|error) "
_TORCH = r"^CUDA error: "
_THRUST = r"^[\w :>-]*\bcudaError"  # "<algorithm> failed: cudaError...": nothing quoted, no path

_MESSAGES: dict[FailureCause, tuple[str, ...]] = {
    FailureCause.OUT_OF_MEMORY: (
        _CUDA + r"out of memory",
        r"^CUDA out of memory",
        _CUBLAS + r"ALLOC_FAILED\b",
        _THRUST + r"MemoryAllocation\b",
    ),
    FailureCause.MISSING_LIBRARY: (
        r"^Library lib(?:cublas|cublasLt|cudart|cudnn\w*|curand)[\w.]* is not found or cannot be loaded",
        r"^Library (?:cublas|cudart|cudnn)\w*\.dll is not found or cannot be loaded",
    ),
    FailureCause.DRIVER: (
        _CUDA + r"CUDA driver version is insufficient",
        _CUDA + r"no CUDA-capable device",
        _CUDA + r"(?:invalid device ordinal|system (?:not yet initialized|has unsupported))",
        _CUDA + r"no kernel image is available",
        _CUDA + r"initialization error",
        _CUBLAS + r"(?:NOT_INITIALIZED|ARCH_MISMATCH)\b",
        _THRUST + r"(?:NoKernelImageForDevice|InsufficientDriver|NoDevice|InvalidDevice|InitializationError)\b",
        r"^This CTranslate2 package was not compiled with CUDA support",
    ),
    FailureCause.STICKY: (_CUDA, _CUBLAS, _CUDNN, _THRUST, _TORCH),
}
"""The first match counts. Whatever else the CUDA runtime reports leaves its context unusable: sticky."""


def classify(message: str) -> FailureCause | None:
    """The cause behind an engine's message on a CUDA device; None where the card is not at fault."""
    # The place in the engine's source may come first: "file.cc:12: CUDA failed ...".
    text = re.sub(r"^\S+\.(?:cc|cu|h):\d+:\s*", "", message.strip())
    return next((cause for cause, patterns in _MESSAGES.items() if any(re.search(p, text) for p in patterns)), None)

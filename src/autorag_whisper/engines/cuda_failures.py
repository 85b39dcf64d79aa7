"""Which failures are the card's: one table of the engines' own messages, asked only about calls into an engine on CUDA.

The messages are those of CTranslate2's source (`cuda/utils.h`, `cuda/cublas_stub.cc`) and of the CUDA runtime's error
strings. They are matched where an engine puts them: as whole phrases, never as the word "cuda" that may stand in a
file's name. None of this was ever run on a card; the messages were read.
"""

from __future__ import annotations

import re

from autorag_whisper.domain.device import FailureCause

_MESSAGES: tuple[tuple[str, FailureCause], ...] = (
    (r"^CUDA failed with error out of memory", FailureCause.OUT_OF_MEMORY),
    (r"^CUDA out of memory", FailureCause.OUT_OF_MEMORY),
    (r"\bCUBLAS_STATUS_ALLOC_FAILED\b", FailureCause.OUT_OF_MEMORY),
    (r"^Library lib(?:cublas|cublasLt|cudart|cudnn\w*|curand)[\w.]* is not found or cannot be loaded", FailureCause.MISSING_LIBRARY),
    (r"^Library (?:cublas|cudart|cudnn)\w*\.dll is not found or cannot be loaded", FailureCause.MISSING_LIBRARY),
    (r"^CUDA failed with error CUDA driver version is insufficient", FailureCause.DRIVER),
    (r"^CUDA failed with error no CUDA-capable device", FailureCause.DRIVER),
    (r"^CUDA failed with error (?:invalid device ordinal|system (?:not yet initialized|has unsupported))", FailureCause.DRIVER),
    (r"^CUDA failed with error no kernel image is available", FailureCause.DRIVER),
    (r"^CUDA failed with error initialization error", FailureCause.DRIVER),
    (r"\bCUBLAS_STATUS_(?:NOT_INITIALIZED|ARCH_MISMATCH)\b", FailureCause.DRIVER),
    (r"^This CTranslate2 package was not compiled with CUDA support", FailureCause.DRIVER),
    (r"^CUDA failed with error ", FailureCause.STICKY),
    (r"\bCUBLAS_STATUS_\w+\b", FailureCause.STICKY),
    (r"\bCUDNN_STATUS_\w+\b", FailureCause.STICKY),
)  # fmt: skip
"""The first match counts. Whatever else the CUDA runtime reports leaves its context unusable: sticky."""


def classify(message: str) -> FailureCause | None:
    """The cause behind an engine's message on a CUDA device; None where the card is not at fault."""
    # The place in the engine's source may come first: "file.cc:12: CUDA failed ...".
    text = re.sub(r"^\S+\.(?:cc|cu|h):\d+:\s*", "", message.strip())
    return next((cause for pattern, cause in _MESSAGES if re.search(pattern, text)), None)

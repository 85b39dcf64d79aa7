"""The CUDA libraries that the extra `[cuda]` installs, opened before an engine looks for them by name."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper.domain.device import FailureCause
from autorag_whisper.domain.errors import DeviceError

if TYPE_CHECKING:
    from autorag_whisper.domain.device import Device


def preload(device: Device) -> None:
    """Open the CUDA 12 libraries of the extra `[cuda]`, so that CTranslate2 finds them by name. Never run on a card."""
    import ctypes

    for package, pattern in (("nvidia.cuda_runtime", "libcudart.so*"), ("nvidia.cublas", "libcublas*.so*")):
        try:
            found = find_spec(package)
        except ModuleNotFoundError:  # the extra is not installed: the system's libraries are used, if it has any
            continue
        for folder in (found.submodule_search_locations or ()) if found else ():
            # libcublas needs libcublasLt, which sorts behind it.
            for library in sorted(Path(folder, "lib").glob(pattern), reverse=True):
                try:
                    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
                except OSError as error:
                    message = f"load: {library.name} cannot be opened"
                    raise DeviceError(str(device), FailureCause.MISSING_LIBRARY, message) from error

"""NumPy's matrix products on one thread: OpenBLAS's others wait actively for the next product, some 25 ms each time.

A run has as many workers as the processor has cores, and a product of a chunk takes them milliseconds: a second thread
gains nothing and, waiting, takes a tenth of the run's processor time. One thread gives the same bits on every number of
cores too. OpenBLAS, which comes with NumPy's wheels, has one number of threads for the process; it is put back after
each product, or after the last of several at once. Where NumPy has another library nothing is changed.
"""

from __future__ import annotations

import ctypes
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_NAMES = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
)
"""How builds of OpenBLAS call the two functions."""


class OneThread:
    """Gives a library one thread while any product is under way, and its former number afterwards. Thread-safe."""

    def __init__(self, get: Callable[[], int], put: Callable[[int], object]) -> None:
        self._get, self._put = get, put
        self._lock = threading.Lock()
        self._under_way = set[object]()
        self._former = 1

    @contextmanager
    def while_computing(self) -> Iterator[None]:
        """Around a product."""
        token = object()
        # Whatever a signal handler raises between two of these lines, what was changed is put back.
        try:
            with self._lock:
                if not self._under_way:
                    self._former = self._get()
                self._under_way.add(token)
                if len(self._under_way) == 1:
                    self._put(1)
            yield
        finally:
            with self._lock:
                if self._under_way == {token}:
                    self._put(self._former)
                self._under_way.discard(token)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Around a matrix product of NumPy's."""
    library = _library()
    if library is None:
        yield
        return
    with library.while_computing():
        yield


@cache
def _library() -> OneThread | None:
    """NumPy's OpenBLAS; None where its wheel brings none."""
    from pathlib import Path

    import numpy as np

    package = Path(np.__file__).parent
    return opened([*package.parent.glob("numpy.libs/*openblas*"), *package.glob(".dylibs/*openblas*")])


def opened(files: list[Path]) -> OneThread | None:
    """The first of these libraries, loaded already, that has the two functions."""
    for file in files:
        try:
            library = ctypes.CDLL(str(file))
        except OSError:
            continue
        for get, put in _NAMES:
            if hasattr(library, get) and hasattr(library, put):
                return OneThread(getattr(library, get), getattr(library, put))
    return None

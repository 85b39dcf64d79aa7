"""How many threads an engine may have: the cores of this process, and whether the system grants that many.

An engine that gets no thread ends the process (`std::terminate`), so the system is asked before.
"""

from __future__ import annotations

import os
import threading

from autorag_whisper.domain.errors import EngineError

_SPARE = 4
"""What an engine starts besides its workers, and the run itself."""


def require_threads(count: int, runtime: str) -> None:
    """See that the system lets this process have so many more threads, by having them for a moment.

    Raises EngineError where it does not (RLIMIT_NPROC, a container's limit, no address space for their stacks).
    """
    enough = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(count + _SPARE):
            thread = threading.Thread(target=enough.wait, daemon=True)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError) as error:
        reason = f"the system lets this process have {len(started)} more threads, not {count + _SPARE}"
        raise EngineError(runtime, "load", f"{reason}: ask for fewer (AUTORAG_WHISPER_THREADS, --threads)") from error
    finally:
        enough.set()
        for thread in started:
            thread.join()


def usable_cores() -> int:
    """Cores that this process may use; the affinity mask says it where there is one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

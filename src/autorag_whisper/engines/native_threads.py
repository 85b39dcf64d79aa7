"""Can an engine have its threads? One that gets none ends the process (`std::terminate`), so it is asked before."""

from __future__ import annotations

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

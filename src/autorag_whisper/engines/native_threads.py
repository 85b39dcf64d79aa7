"""How many threads an engine may have: the cores of this process, and whether the system grants that many.

An engine that gets no thread ends the process (`std::terminate`), so the system is asked before.
"""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use, 1 at least.

    The affinity mask says it where there is one, and the quotas of its control groups, as containers have them
    (`docker run --cpus`, a limit of Kubernetes): part of a core counts as one. `root`: where `proc` and `sys` are.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(root)
    return count if quota is None else min(count, max(1, math.ceil(quota)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """How many cores the control groups of this process may keep busy; None where they have no limit."""
    return min(_quotas(root), default=None)


def _quotas(root: Path) -> Iterator[float]:
    """Of each control group of this process that has a limit."""
    top = root / "sys" / "fs" / "cgroup"
    try:
        lines = (root / "proc" / "self" / "cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:  # "0::/a/b" of version 2; "3:cpu,cpuacct:/a/b" of version 1
        _, _, rest = line.partition(":")
        controllers, _, place = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = [top / controllers, top / "cpu"] if controllers else [top]
        parts = [part for part in place.split("/") if part not in ("", "..")]
        for mount in mounts:
            for depth in range(len(parts) + 1):  # what holds a group holds those in it
                yield from _quota(mount.joinpath(*parts[:depth]))


def _quota(group: Path) -> Iterator[float]:
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period"))
        if int(quota) > 0:
            yield int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max" is no number: no limit
        return

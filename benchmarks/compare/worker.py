"""The process that is measured: one engine, loaded and warmed up, over files. A job in, a run out, as JSON."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from benchmarks.compare.engines import count_calls, load
from benchmarks.compare.job import Job, Run


def measure(job: Job) -> Run:
    """Do a job in this process. To be called once: the peak of memory is the process's."""
    began = time.perf_counter()
    calls_s = count_calls()
    engine = load(job)
    load_s = time.perf_counter() - began
    # What is made at the first use (threads, work space, voice activity) is not what is measured.
    for heard in engine.run([job.warm_up]):
        if heard.error:
            raise RuntimeError(f"{job.engine.label} fails at the first file: {heard.error}")
    before_s, cpu_s, wall_s = calls_s(), time.process_time(), time.perf_counter()
    heard = tuple(engine.run(job.files))
    by_call_s = {name: total - before_s[name] for name, total in calls_s().items()}
    return Run(
        load_s=load_s,
        wall_s=time.perf_counter() - wall_s,
        cpu_s=time.process_time() - cpu_s,
        peak_mb=peak_mb(),
        calls_s=sum(by_call_s.values()),
        workers=engine.workers,
        heard=heard,
        versions={name: version(name) for name in engine.packages},
        by_call_s=by_call_s,
    )


def peak_mb() -> float:
    """The most memory that this process held so far.

    Of Linux's two figures the one that begins at 0 with the program: `ru_maxrss` begins with the parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    import resource

    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    """Read a job from standard input, write the run to the file that the first argument names."""
    run = measure(Job.from_json(json.load(sys.stdin)))
    Path(sys.argv[1]).write_text(json.dumps(asdict(run), ensure_ascii=False))


if __name__ == "__main__":
    main()

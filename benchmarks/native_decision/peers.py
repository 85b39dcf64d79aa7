"""The peers' environment, a process for each engine, and the tables of what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.native_decision.forced import forced as forced_to
from benchmarks.serve.peers import Environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.native_decision.material import Material

HERE, ROOT = Path(__file__).parent, Path(__file__).resolve().parents[2]
PEERS = Environment(
    "native-decision",
    [
        ["torch==2.13.0", "numpy==2.4.6", "onnx==1.23.2", "onnxruntime==1.32.0", "onnxscript==0.7.2"],
        ["openvino==2026.4.1", "nncf==3.4.0"],
        ["pywhispercpp==1.5.1"],
    ],
)
STAGES = (
    "native",
    "native:avx512_vnni",
    "native:avx_vnni",
    "native:avx2",
    "ctranslate2:int8",
    "ctranslate2:int8/AVX2",
    "ctranslate2:float32",
    "onnxruntime:int8",
    "onnxruntime:float32",
    "openvino:int8",
    "openvino:int8-static",
    "openvino:bfloat16",
    "openvino:float32",
)
"""Engine:variant; of CTranslate2 the compute type, and behind a slash the instruction set that is forced."""


def run(command: Sequence[str | Path], **environ: str) -> dict[str, Any] | None:
    """The last line that a program prints, which is JSON; None where it fails, whose last words are told."""
    threads = {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | threads | environ, timeout=3600
    )
    if done.returncode:
        print(f"{' '.join(map(str, command[1:]))}: {done.stderr.strip()[-600:]}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def stages(material: Material, engine: str) -> dict[str, Any] | None:
    """Processor milliseconds of one engine's stages, as `own_stages.measured` has them."""
    name, _, variant = engine.partition(":")
    if name in ("native", "ctranslate2"):
        variant, _, forced = variant.partition("/")
        program = [sys.executable, "-m", "benchmarks.native_decision.own_stages"]
        environ = forced_to(name, forced)
        return run([*program, material.folder, material.model, f"{name}:{variant}"], **environ)
    return run([PEERS.python(), HERE / "peer_stages.py", material.folder, engine])


def computed(found: dict[str, Any], tokens_per_s: float, rest: float) -> tuple[float, float]:
    """Processor seconds a second of audio with windows of 30 s: decoded one at a time, and eight at a time."""
    encoded = found["encode_ms"] / 30_000
    one, eight = (encoded + tokens_per_s * found[name] / 1000 + rest for name in ("beam_ms", "batch_ms"))
    return one, eight


def stages_table(material: Material, engines: Sequence[str], tokens_per_s: float, rest: float) -> str:
    lines = [
        "| engine | encode 30 s, ms | a token: greedy, ms | 5 beams | 8 windows at once | alike | computed, 1 / 8 |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for engine in engines:
        found = stages(material, engine)
        if found is None:
            lines.append(f"| {engine} | failed | | | | | |")
            continue
        figures = [f"{found['encode_ms']:.0f}"]
        figures += [f"{found[name]:.2f}" for name in ("greedy_ms", "beam_ms", "batch_ms")]
        one, eight = computed(found, tokens_per_s, rest)
        lines.append(f"| {engine} | {' | '.join(figures)} | {found['alike']:.0%} | {one:.4f} / {eight:.4f} |")
        print(lines[-1], file=sys.stderr)
    return "\n".join(lines)


def whisper_cpp_table(material: Material) -> str:
    lines = ["| whisper.cpp | processor s per s of audio | words |", "|---|---:|---:|"]
    for kind in ("float16", "int8"):
        for beams in (1, 5):
            found = run([PEERS.python(), HERE / "peer_whisper_cpp.py", material.folder, kind, str(beams)])
            told = f"{found['cost']:.3f} | {len(found['text'].split())}" if found else "failed |"
            lines.append(f"| {kind}, {'greedy' if beams == 1 else f'{beams} beams'} | {told} |")
            print(lines[-1], file=sys.stderr)
    return "\n".join(lines)

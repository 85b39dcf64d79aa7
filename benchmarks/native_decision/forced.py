"""The two engines for CPUs with their instructions forced, over the whole pipeline: processor time of the command.

    python -m benchmarks.native_decision forced talk.flac --rounds 3

Each combination is a process of its own, in turn, `--rounds` times; the figure is the median of user and system time,
divided by the recording's length. Processor time hardly depends on what else runs; wall time, which does, is not told.
`differs`: share of words that are not those of CTranslate2 with its own choice of instructions.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from difflib import SequenceMatcher
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CTRANSLATE2, ITS_ONEDNN, NATIVE = "CT2_FORCE_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "AUTORAG_WHISPER_NATIVE_ISA"
ONEDNN = {"AVX2": "AVX2", "AVX512": "AVX512_CORE"}
"""What oneDNN is told beside CTranslate2, whose own variable does not reach it: its int8 would still take VNNI."""
COMBINATIONS = (
    ("ctranslate2", ""),
    ("ctranslate2", "AVX2"),
    ("ctranslate2", "AVX512"),
    ("native", ""),
    ("native", "avx512_vnni"),
    ("native", "avx_vnni"),
    ("native", "avx2"),
)


def forced(engine: str, instructions: str) -> dict[str, str]:
    """The environment that has an engine keep to these instructions; none: its own choice."""
    if not instructions:
        return {}
    if engine == "native":
        return {NATIVE: instructions}
    return {CTRANSLATE2: instructions, ITS_ONEDNN: ONEDNN[instructions]}


def run(engine: str, instructions: str, recording: Path, model: str) -> tuple[float, float, list[str]] | None:
    """Processor seconds, the recording's seconds, and the words; None where this processor cannot."""
    variables = {name: value for name, value in os.environ.items() if name not in {CTRANSLATE2, ITS_ONEDNN, NATIVE}}
    variables |= {"AUTORAG_WHISPER_ENGINE": engine, **forced(engine, instructions)}
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(sys.executable).with_name("autorag-whisper"))
        command = [program, str(recording), "-o", folder, "-m", model]
        process = subprocess.Popen([*command, "--quiet"], env=variables, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        assert process.stderr
        told = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            print(f"{engine} {instructions}: {told.strip().splitlines()[-1:]}", file=sys.stderr)
            return None
        result = json.loads((Path(folder) / f"{recording.stem}.json").read_text())
    words = [word["word"].strip().lower() for word in result["words"]]
    return used.ru_utime + used.ru_stime, float(result["duration"]), words


def compare(recording: Path, model: str, rounds: int) -> None:
    """Print the table."""
    found: dict[tuple[str, str], list[tuple[float, float, list[str]]]] = {}
    for _ in range(rounds):
        for engine, instructions in COMBINATIONS:
            measured = run(engine, instructions, recording, model)
            if measured:
                found.setdefault((engine, instructions), []).append(measured)
    if not found:
        sys.exit("nothing could be measured")
    reference = found.get(COMBINATIONS[0], next(iter(found.values())))[0][2]
    print("| engine | instructions | processor s per s of audio | differs |\n|---|---|---|---|")
    for (engine, instructions), runs in found.items():
        cost = statistics.median(spent / length for spent, length, _ in runs)
        same = SequenceMatcher(None, reference, runs[0][2], autojunk=False).ratio()
        print(f"| {engine} | {instructions or 'own choice'} | {cost:.4f} | {100 * (1 - same):.1f} % |")

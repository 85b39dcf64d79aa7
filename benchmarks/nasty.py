"""Every hostile file of the kit through the command, each in a process of its own, judged by its manifest."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from kit import Clip, read_manifest, unpack_nasty

LIMIT_S, LIMIT_MB = 60, 1500


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the command did. `result` is the JSON it wrote, None if it wrote none."""

    exit_code: int
    wall_s: float
    peak_mb: float
    stderr: str
    result: dict | None
    leftovers: tuple[str, ...]


def transcribe(path: Path, model: str) -> Run:
    """`autorag-whisper transcribe` on one file, with an output and a temporary folder of its own."""
    command = Path(sys.executable).with_name("autorag-whisper")
    with tempfile.TemporaryDirectory() as scratch:
        out, temporary = Path(scratch, "out"), Path(scratch, "tmp")
        temporary.mkdir()
        arguments = [command, "transcribe", "-m", model, "-f", "json", "-o", out, "--", path]
        errors = Path(scratch, "stderr")
        began = time.perf_counter()
        with errors.open("wb") as sink:
            child = subprocess.Popen(
                arguments, stdout=subprocess.DEVNULL, stderr=sink, env=os.environ | {"TMPDIR": str(temporary)}
            )
            try:
                exit_code, peak_mb = wait(child)
            finally:
                child.kill()
        results = list(out.rglob("*.json")) if out.exists() else []
        texts = [file for file in results if not file.name.startswith(".")]
        return Run(
            exit_code=exit_code,
            wall_s=round(time.perf_counter() - began, 2),
            peak_mb=round(peak_mb, 1),
            stderr=errors.read_text(errors="replace"),
            result=json.loads(texts[0].read_text()) if texts else None,
            leftovers=tuple(file.name for file in temporary.rglob("*")),
        )


def wait(child: subprocess.Popen) -> tuple[int, float]:
    """Exit code and peak memory (MB); a child that takes longer than `LIMIT_S` is killed: -9."""
    peak_kb, deadline = 0, time.monotonic() + 2 * LIMIT_S
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode, max(peak_kb, usage.ru_maxrss) / 1024
        if time.monotonic() > deadline:
            child.kill()
        time.sleep(0.02)


def faults(clip: Clip, run: Run) -> list[str]:
    """What is wrong with a run, in words; [] if it ended as the manifest expects."""
    found = []
    words = run.result["words"] if run.result else []
    allowed = {"error": {1, 2}, "either": {0, 1, 2}}.get(clip.expect, {0})
    if run.exit_code not in allowed:
        found.append(f"exit code {run.exit_code}")
    if clip.expect in ("text", "partial") and not words:
        found.append("no words")
    if clip.expect == "text" and clip.text and clip.language == "en" and overlap(clip, words) < 0.5:
        found.append("other words: " + " ".join(word["word"] for word in words)[:60])
    if clip.expect == "partial" and run.result and not any(run.result["media"]["damage"].values()):
        found.append("says nothing of what is missing")
    if clip.expect == "empty" and words:
        found.append("invents words: " + " ".join(word["word"] for word in words)[:60])
    if "Traceback" in run.stderr:
        found.append("traceback")
    if run.exit_code and not run.stderr.strip():
        found.append("says nothing")
    if run.leftovers:
        found.append(f"leaves {', '.join(run.leftovers)}")
    if run.wall_s > LIMIT_S:
        found.append(f"{run.wall_s} s")
    if run.peak_mb > LIMIT_MB:
        found.append(f"{run.peak_mb} MB")
    return found


def overlap(clip: Clip, words: list[dict]) -> float:
    """The share of the reference's words that were recognised, wherever."""
    wanted = normalised(clip.text)
    heard = normalised(" ".join(word["word"] for word in words))
    return len(wanted & heard) / max(1, len(wanted))


def normalised(text: str) -> set[str]:
    return set(re.findall(r"[\w']+", text.lower()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kit", type=Path)
    parser.add_argument("--model", default="base")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = unpack_nasty(arguments.kit, Path(scratch))
        subprocess.run(["bash", folder / "make_special.sh"], check=True, capture_output=True)
        for clip in read_manifest(folder):
            name = ascii(clip.path.name)[1:-1]
            if arguments.only in name:
                run = transcribe(clip.path, arguments.model)
                wrong = faults(clip, run)
                rows.append({"case": name, "expect": clip.expect, "wrong": wrong} | asdict(run) | {"result": None})
                said = run.stderr.strip().splitlines()[-1:] if run.exit_code else []
                print(
                    f"{name:40} {clip.expect:8} {run.exit_code:3} {run.wall_s:6.1f} s {run.peak_mb:7.0f} MB",
                    *wrong,
                    *said,
                )
    bad = [row["case"] for row in rows if row["wrong"]]
    print(f"{len(rows)} cases, {len(bad)} not as expected: {', '.join(bad)}")
    print(f"longest {max(row['wall_s'] for row in rows)} s, largest {max(row['peak_mb'] for row in rows)} MB")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())

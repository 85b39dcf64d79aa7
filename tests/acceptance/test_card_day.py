"""The command for a bare machine with a card, whole, where there is none: a mistake costs no minute of the card."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from benchmarks.card.steps import STEPS

if TYPE_CHECKING:
    from pathlib import Path

PRESENT = (
    "click", "huggingface-hub", "numpy", "nvidia-ml-py", "onnxruntime", "packaging", "pyyaml", "regex", "rich",
    "safetensors", "tokenizers", "tqdm",
)  # fmt: skip
"""What that machine has of what we need, but for PyTorch."""
ONLY_A_CARD = "needs a card"


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.kit
def test_the_day_with_a_card_runs_whole_without_a_network(root: Path, kit: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", str(bare)], check=True)
    subprocess.run([str(bare / "bin" / "python"), "-m", "pip", "install", "--quiet", *PRESENT], check=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    pack = [
        sys.executable,
        "-m",
        "benchmarks.card.pack",
        str(tmp_path / "parts"),
        "--kit",
        str(kit),
        "--python",
        version,
    ]
    subprocess.run(pack, check=True, cwd=root)
    parts = sorted((tmp_path / "parts").iterdir())
    assert all(sum(file.stat().st_size for file in part.iterdir()) < 50_000_000 for part in parts)

    environ = {"PATH": os.environ["PATH"], "GPU_DAY_WORK": str(tmp_path / "work")}
    python, script = str(bare / "bin" / "python"), str(root / "scripts" / "gpu_day.py")
    subprocess.run([python, script, "add", *map(str, parts)], check=True, env=environ)
    run = [python, script, "run", "--device", "cpu", "--tiny", "--minutes", "40"]
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
    has_no_net = shutil.which("unshare") and subprocess.run(["unshare", "--net", "true"], check=False).returncode == 0
    done = subprocess.run([*(alone if has_no_net else []), *run], check=False, env=environ)

    found = json.loads((tmp_path / "work" / "card.json").read_text(encoding="utf-8"))
    assert [row for row in found["rows"] if row["verdict"] == "MISSED"] == []
    assert done.returncode == 0
    assert [step["step"] for step in found["steps"]] == [step.name for step in STEPS]
    assert {row["step"] for row in found["rows"]} == {step.name for step in STEPS}
    reasons = {row["found"] for row in found["rows"] if row["verdict"] == "not run"}
    assert ONLY_A_CARD in reasons
    assert {row["step"] for row in found["rows"] if row["verdict"] != "not run"} >= {
        step.name for step in STEPS if step.name != "wav2vec2, PyTorch"
    }

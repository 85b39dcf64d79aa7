"""ONNX Runtime 1.29 began to send usage data from Linux too, and left a file `.ses` in the temporary folder.

Found by looking at what a run leaves behind. It breaks the promise that nothing is connected to when offline.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LISTEN = """
import numpy as np
from autorag_whisper.engines.silero import SileroVoiceActivity
SileroVoiceActivity().stream().push(np.ones(1024, np.float32))
"""


@pytest.mark.parametrize("code", [LISTEN, "from autorag_whisper.cli import run; run(['doctor'])"])
def test_the_voice_activity_runtime_leaves_nothing_in_the_temporary_folder(code: str, tmp_path: Path) -> None:
    environ = os.environ | {"TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    environ.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code], env=environ, check=True, capture_output=True, timeout=120)
    assert list(tmp_path.rglob("*.ses")) == []
    assert list(tmp_path.rglob("*onnxruntime*")) == []

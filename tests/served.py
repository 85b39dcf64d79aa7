"""The service as it is started, in a process of its own, on a free port, with a key."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Self

import httpx
import openai

if TYPE_CHECKING:
    from pathlib import Path

KEY = "sk-test-1"
SERVE = (sys.executable, "-c", "from autorag_whisper.cli import main; main()", "serve", "--model", "tiny.en")


class Served:
    """It is ready when this is made; `folder` gets its keys."""

    def __init__(self, folder: Path, *options: str) -> None:
        (folder / "keys").write_text(f"# who may\n{KEY}\n", encoding="utf-8")
        self.process = subprocess.Popen(
            [*SERVE, "--port", "0", *options],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"AUTORAG_WHISPER_API_KEYS": str(folder / "keys")},
        )
        assert self.process.stderr is not None
        self.line = self.process.stderr.readline()
        match = re.search(r"http://127\.0\.0\.1:\d+", self.line)
        assert match, self.line + self.process.stderr.read()
        self.base = match[0]
        for _ in range(1800):
            if httpx.get(f"{self.base}/readyz", timeout=120).status_code == 200:
                return
            threading.Event().wait(0.1)
        raise AssertionError(httpx.get(f"{self.base}/readyz", timeout=120).text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)

    @property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(api_key=KEY, base_url=f"{self.base}/v1", max_retries=0)

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.base, headers={"Authorization": f"Bearer {KEY}"}, timeout=120)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=120)

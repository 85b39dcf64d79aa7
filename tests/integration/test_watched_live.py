"""A watched folder of the service as it is started, which is killed while it is at work and started again."""

from __future__ import annotations

import json
import re
import shutil
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from served import Served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def until(condition: Callable[[], object]) -> None:
    for _ in range(1200):
        if condition():
            return
        threading.Event().wait(0.1)
    raise AssertionError("it did not happen")


def jobs(server: Served) -> dict[str, int]:
    """How many there are in each state that has some."""
    with server.http() as client:
        figures = client.get("/metrics").text
    found = {state: int(float(count)) for state, count in re.findall(r'whisper_jobs\{state="(\w+)"\} (\S+)', figures)}
    return {state: count for state, count in found.items() if count}


@pytest.mark.slow
def test_a_recording_is_done_once_though_the_server_is_killed_with_it(tmp_path: Path, demo_sample: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    options = ("--data", str(tmp_path / "data"), "--watch", str(folder), "--watch-format", "json")
    with Served(tmp_path, *options) as server:
        shutil.copy(demo_sample, folder / "a.flac")
        until(lambda: jobs(server))
        server.end(signal.SIGKILL)  # it waits, is at work or done by now: whichever
    with Served(tmp_path, *options) as server:
        until((folder / "a.json").exists)
        words = json.loads((folder / "a.json").read_text(encoding="utf-8"))["text"]
        first = (folder / "a.json").stat().st_mtime_ns
        assert "tickets" in words
        server.end(signal.SIGKILL)
    with Served(tmp_path, *options) as server:
        shutil.copy(demo_sample, folder / "b.flac")
        until((folder / "b.json").exists)
        assert jobs(server) == {"done": 2}
        assert server.end() == 143
    assert (folder / "a.json").stat().st_mtime_ns == first
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        "a.flac", "a.json", "b.flac", "b.json",
    ]  # fmt: skip

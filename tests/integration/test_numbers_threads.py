"""Numbers that reach an engine: in their range, or an error that says the range; never a crash, never a `TypeError`."""

from __future__ import annotations

import subprocess
import sys


def test_more_threads_than_the_system_grants_are_an_error_and_no_end_of_the_process() -> None:
    # CTranslate2 in that place: "terminate called after throwing an instance of 'std::system_error'".
    script = """
import resource, threading
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.engines.native_threads import require_threads
threading.stack_size(64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    require_threads(200, "test")
except EngineError as error:
    print(error)
print(threading.active_count())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240, check=True)
    said, left = done.stdout.splitlines()
    assert "more threads, not 204" in said
    assert "AUTORAG_WHISPER_THREADS" in said
    assert left == "1"

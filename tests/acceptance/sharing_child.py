"""A worker process with the real engine whose batches on the CPU take leases, as they would on a card."""

from __future__ import annotations

import signal
import sys
from multiprocessing.connection import Connection

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.worker.child import Line, Worker


def main(descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Worker(
        Line(Connection(descriptor)), lambda telemetry: build_transcriber(telemetry=telemetry, share_cpu=True)
    ).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))

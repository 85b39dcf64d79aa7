"""A worker process with the real engine whose batches on the CPU take leases, as they would on a card."""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.connection import Connection

from autorag_whisper.bootstrap import build_parts
from autorag_whisper.settings import Settings
from autorag_whisper.transcriber.supervised import SupervisedTranscriber
from autorag_whisper.worker.child import Line, Worker


def main(descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = Settings.from_env(os.environ)
    Worker(
        Line(Connection(descriptor)),
        lambda telemetry: SupervisedTranscriber(build_parts(settings, os.environ, telemetry, share_cpu=True)),
    ).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""The probe of the hardware: once, by one thread, and not forgotten."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from autorag_whisper.device.devices import Devices
from autorag_whisper.domain.device import Hardware
from quiet import until_quiet


def test_the_engine_is_asked_once_however_many_threads_want_to_know() -> None:
    calls: list[int] = []
    barrier = threading.Barrier(8)

    def probe() -> Hardware:
        calls.append(1)
        until_quiet()  # whoever could come in as well is in now
        return Hardware(len(calls))

    def ask(_: int) -> Hardware:
        barrier.wait(60)
        return devices.hardware()

    devices = Devices(probe)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {Hardware(1)}
    assert devices.hardware() == Hardware(1)
    assert len(calls) == 1

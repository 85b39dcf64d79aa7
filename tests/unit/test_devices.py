"""The probe of the hardware: once, by one thread, and not forgotten."""

from __future__ import annotations

import pytest

from autorag_whisper.device.devices import Devices
from autorag_whisper.domain.device import CPU, Device, DeviceKind, Hardware, parse_device
from autorag_whisper.domain.errors import DeviceError, InvalidOption


def test_nothing_is_asked_before_someone_wants_to_know() -> None:
    Devices(lambda: pytest.fail("asked"))


def test_a_device_that_fails_at_the_probe_is_none_and_the_problem_says_why() -> None:
    calls: list[int] = []

    def probe() -> Hardware:
        calls.append(1)
        raise DeviceError("cuda", "driver", "no CUDA-capable device\nis detected")

    devices = Devices(probe)
    assert devices.hardware() == devices.hardware()
    assert devices.hardware().cuda_devices == 0
    assert "no CUDA-capable device" in devices.hardware().problem
    assert "\n" not in devices.hardware().problem
    assert len(calls) == 1


def test_a_probe_that_was_interrupted_is_made_again() -> None:
    answers: list[BaseException | Hardware] = [KeyboardInterrupt(), Hardware(1)]

    def probe() -> Hardware:
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    devices = Devices(probe)
    with pytest.raises(KeyboardInterrupt):
        devices.hardware()
    assert devices.hardware() == Hardware(1)


@pytest.mark.parametrize("device", [CPU, *(Device(DeviceKind.CUDA, index) for index in (0, 1, 42, 999))])
def test_a_devices_name_is_read_back_as_the_device(device: Device) -> None:
    assert parse_device(str(device)) == device
    assert parse_device(f" {str(device).upper()}\n") == device


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:-1", "cuda:1000", "cuda:٣", "cuda:1:2", "cpu:1", "cudaa"])
def test_what_is_no_devices_name_is_not_read_as_one(name: str) -> None:
    assert parse_device(name) is None


@pytest.mark.parametrize(("kind", "index"), [(DeviceKind.CUDA, -1), (DeviceKind.CPU, 1)])
def test_a_device_that_cannot_exist_is_refused_at_birth(kind: DeviceKind, index: int) -> None:
    with pytest.raises(InvalidOption):
        Device(kind, index)

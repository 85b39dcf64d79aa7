"""glibc's allocator: told what to do on Linux, left alone elsewhere. In processes of their own: it is process-wide."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from autorag_whisper import allocator

if TYPE_CHECKING:
    from collections.abc import Callable

on_glibc = pytest.mark.skipif(allocator._glibc() is None, reason="there is no glibc here")
RESIDENT_KB = "int(next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1])"


def run(code: str) -> list[str]:
    program = f"from autorag_whisper.allocator import trim, tune_allocator\n{code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


@on_glibc
def test_the_allocator_takes_its_settings_again_and_again() -> None:
    assert run("print(tune_allocator(), tune_allocator())") == ["True", "True"]


@on_glibc
def test_a_tuned_process_keeps_what_it_frees_until_it_is_trimmed() -> None:
    # 64 MB: far over the threshold from which glibc otherwise gives a block back at once.
    code = f"""
tune_allocator()
before = {RESIDENT_KB}
block = b"x" * (1 << 26)
del block
kept = {RESIDENT_KB} - before
trimmed = trim()
print(kept > 50_000, trimmed, {RESIDENT_KB} - before < 10_000)
"""
    assert run(code) == ["True", "True", "True"]


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd14"])
def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(allocator, "sys", SimpleNamespace(platform=platform))
    assert (allocator.tune_allocator(), allocator.trim()) == (False, False)


@pytest.mark.parametrize("library", [lambda _: SimpleNamespace(), lambda _: (_ for _ in ()).throw(OSError("none"))])
def test_a_c_library_that_is_not_glibc_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, library: Callable[[object], object]
) -> None:
    monkeypatch.setattr("ctypes.CDLL", library)
    assert (allocator.tune_allocator(), allocator.trim()) == (False, False)


@pytest.mark.parametrize(("limit", "taken"), [(1 << 40, 1 << 30), (1 << 25, 1 << 25)])
def test_a_glibc_that_refuses_a_large_threshold_gets_the_largest_that_it_takes(
    monkeypatch: pytest.MonkeyPatch, limit: int, taken: int
) -> None:
    # Older versions allow HEAP_MAX_SIZE / 2, 32 MB on 64 bits, and answer 0 to more.
    accepted: dict[int, int] = {}

    def mallopt(option: int, value: int) -> int:
        if option == -3 and value > limit:
            return 0
        accepted[option] = value
        return 1

    monkeypatch.setattr(allocator, "_glibc", lambda: SimpleNamespace(mallopt=mallopt))
    assert allocator.tune_allocator()
    assert accepted == {-8: 1, -3: taken, -1: 1 << 30}

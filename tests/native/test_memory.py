"""The CPU engine where the system has no more memory, and after many calls: nothing ends the process, nothing grows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from autorag_whisper.engines.native_library import NativeLibrary

TESTS = Path(__file__).resolve().parent.parent

CHILD = """
import resource, sys
import numpy as np
from autorag_whisper.domain.request import Search
from autorag_whisper.engines.native_library import native_library
from autorag_whisper.engines.native_model import NativeModel, NativeSearch, SpecialTokens
from autorag_whisper.engines.native_weights import Tensor
from native_reference import random_tensors

made = random_tensors(0, mels=80, width=256, layers=4, vocabulary=2000, frames=1500, context=448)
arrays = {name: Tensor(array) for name, array in made.items()}
special = SpecialTokens(1501, 1500, 1502, 1503)
model = NativeModel(native_library(), arrays, special)
encoded = np.random.default_rng(0).standard_normal((1500, 256)).astype(np.float32)
audio = model.audio(encoded)
prompt, short = [[1501, 1503]], NativeSearch(2, 0.0, 0, 4, Search(), (), ())
before = model.generate([audio], prompt, short).tokens


def pages():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()


def refused(call):
    try:
        call()
    except MemoryError:
        return True
    return False
"""
REFUSAL = """
whole = resource.getrlimit(resource.RLIMIT_AS)
kept, told = [], []
model.trim()
resource.setrlimit(resource.RLIMIT_AS, (pages() + (1 << 20), whole[1]))
told.append(refused(lambda: kept.extend(model.audio(encoded) for _ in range(100))))
told.append(refused(lambda: NativeModel(native_library(), arrays, special)))
long = NativeSearch(64, 1.0, 1, 440, Search(), (1500,), ())
told.append(refused(lambda: model.generate([audio] * 16, prompt * 16, long)))
resource.setrlimit(resource.RLIMIT_AS, whole)
assert told == [True] * 3, told
assert model.generate([audio], prompt, short).tokens == before
"""
BOUND = """
whole, tell = resource.getrlimit(resource.RLIMIT_AS), native_library().tell
mel, room = np.random.default_rng(1).standard_normal((80, 3000)).astype(np.float32), 4 << 20


def within(told, call):
    model.trim()
    resource.setrlimit(resource.RLIMIT_AS, (pages() + told + room, whole[1]))
    call()
    resource.setrlimit(resource.RLIMIT_AS, whole)


within(tell("awc_encode_bytes", model.handle, 3000) + 1500 * 256 * 4, lambda: model.encode(mel))
for rows, texts, new, temperature in ((1, 1, 440, 0.0), (4, 5, 200, 0.0), (2, 64, 60, 0.0), (8, 5, 100, 1.0)):
    search = NativeSearch(texts, temperature, 1, new, Search(), (1500,), ())
    told = tell("awc_generate_bytes", model.handle, rows, texts, 2, new)
    within(told, lambda: model.generate([audio] * rows, prompt * rows, search))
"""
SOAK = """
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()


def job():
    heard = [model.audio(model.encode(np.zeros((80, frames), np.float32))) for frames in (200, 1000, 400)]
    model.generate(heard, prompt * 3, NativeSearch(3, 0.0, 0, 30, Search(), (1500,), ()))
    model.generate(heard, prompt * 3, NativeSearch(3, 1.0, 7, 30, Search(), (1500,), ()))
    model.first_token_probabilities(heard, [1, 2])


for _ in range(20):
    job()
first = resident()
for _ in range(100):
    job()
assert resident() - first < 2 << 20, resident() - first
"""


def run(script: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(TESTS)!r})\n{CHILD}{script}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space, and reads /proc")
def test_memory_that_cannot_be_had_is_told_and_the_model_goes_on(native_library: NativeLibrary) -> None:
    assert native_library.path.is_file()
    run(REFUSAL)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space, and reads /proc")
def test_no_call_takes_more_than_was_told_before(native_library: NativeLibrary) -> None:
    assert native_library.path.is_file()
    run(BOUND)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_many_calls_take_no_more_memory_than_some(native_library: NativeLibrary) -> None:
    assert native_library.path.is_file()
    run(SOAK)

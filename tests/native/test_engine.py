"""`engines.native`: what it does besides the contract: cancellation, memory, forks, and what the library refuses."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.audio.features import log_mel
from autorag_whisper.domain.device import CPU
from autorag_whisper.domain.errors import Cancelled, EngineError, ModelDamaged
from autorag_whisper.engines import native
from autorag_whisper.engines.base import Decoding
from autorag_whisper.engines.ctranslate2 import LoadRequest
from autorag_whisper.engines.interruption import Interruption
from autorag_whisper.engines.native_library import NativeCallError, NativeLibrary, NativeUnavailableError, library_in
from autorag_whisper.engines.native_weights import read_weights
from autorag_whisper.loading.head_calibration import packaged_clip

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.engines.native import NativeWhisper

pytestmark = pytest.mark.usefixtures("native_library")


@pytest.fixture(scope="module")
def request_of_tiny(tiny_en_int8_folder: Path) -> LoadRequest:
    return LoadRequest(tiny_en_int8_folder, "tiny.en", CPU, "int8", 2, strict_window=False)


@pytest.fixture(scope="module")
def engine(request_of_tiny: LoadRequest) -> NativeWhisper:
    return native.load(request_of_tiny)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """float32[2, 80, 1000]: real speech."""
    mel = log_mel(packaged_clip().samples, 80)
    return np.ascontiguousarray(np.stack([mel[:, :1000], mel[:, 1000:2000]]), np.float32)


def heard(engine: NativeWhisper, features: np.ndarray, beam_size: int = 2) -> list[tuple[int, ...]]:
    prompt = engine.tokenizer.prompt("en", "transcribe")
    found = engine.generate(engine.encode(features), [prompt] * len(features), Decoding(beam_size))
    return [one.token_ids for one in found]


def test_a_call_whose_interruption_is_set_ends_before_it_has_computed(
    engine: NativeWhisper, speech: np.ndarray
) -> None:
    encoded = engine.encode(speech)
    prompt, start = engine.tokenizer.prompt("en", "transcribe"), engine.tokenizer.start_sequence("en", "transcribe")
    unwanted = Interruption()
    unwanted.set()
    calls = [
        lambda: engine.encode(speech),
        lambda: engine.generate(engine.encode(speech[:1]), [prompt], Decoding()),
        lambda: engine.generate(encoded, [prompt] * 2, Decoding(1)),
        lambda: engine.generate(encoded, [prompt] * 2, Decoding(5)),
        lambda: engine.generate(encoded, [prompt] * 2, Decoding(3, temperature=0.7)),
        lambda: engine.align(encoded, start, [(100, 200)] * 2, [800, 800]),
    ]
    for call in calls:
        with unwanted.around(), pytest.raises(Cancelled):
            call()
    assert heard(engine, speech) == heard(engine, speech), "nothing is left of it"


@pytest.mark.slow
def test_whenever_a_batch_is_cancelled_it_ends_and_the_next_one_is_heard_as_ever(
    engine: NativeWhisper, speech: np.ndarray
) -> None:
    expected = heard(engine, speech)
    for wait_s in (0.0, 0.003, 0.02, 0.06, 0.2):
        unwanted, started, found = Interruption(), threading.Event(), list[object]()

        def work(unwanted: Interruption = unwanted, started: threading.Event = started, found: list = found) -> None:
            with unwanted.around():
                started.set()
                try:
                    found.append(heard(engine, speech))
                except Cancelled:
                    found.append(None)

        thread = threading.Thread(target=work)
        thread.start()
        started.wait(60)
        thread.join(wait_s)
        unwanted.set()
        thread.join(60)
        assert found in ([None], [expected])
        assert heard(engine, speech) == expected


def test_what_it_takes_is_told_before_and_after_and_given_back(
    request_of_tiny: LoadRequest, native_library: NativeLibrary, speech: np.ndarray
) -> None:
    told = native_library.model_bytes(read_weights(request_of_tiny.folder / "model.bin").shape)
    engine = native.load(request_of_tiny)
    assert engine.memory_bytes == pytest.approx(told, rel=0.02)
    heard(engine, speech)
    engine.close()
    assert engine.memory_bytes == 0


def resident_mb() -> float:
    with open("/proc/self/statm") as file:  # noqa: PTH123 - a file of the kernel's
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def load_and_close(request: LoadRequest, speech: np.ndarray) -> None:
    engine = native.load(request)
    encoded = engine.encode(speech)
    heard(engine, speech[:1])
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.generate(encoded, [(1,)] * 2, Decoding())


def grown_by_mb(request: LoadRequest, speech: np.ndarray) -> float:
    """How much more memory this process has after six rounds than after the first three."""
    for _ in range(3):
        load_and_close(request, speech)
    gc.collect()
    before = resident_mb()
    for _ in range(6):
        load_and_close(request, speech)
    gc.collect()
    return resident_mb() - before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loading_and_closing_again_and_again_leaves_nothing(request_of_tiny: LoadRequest, speech: np.ndarray) -> None:
    alone = multiprocessing.get_context("spawn")  # what else was tested here has threads and memory of its own
    with ProcessPoolExecutor(1, mp_context=alone) as executor:
        assert executor.submit(grown_by_mb, request_of_tiny, speech).result() < 25  # a model is 40 MB


def test_a_model_of_another_kind_and_files_that_lie_are_typed_errors(
    request_of_tiny: LoadRequest, tmp_path: Path
) -> None:
    from dataclasses import replace

    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_bytes((request_of_tiny.folder / name).read_bytes())
    with pytest.raises(ModelDamaged, match=r"model\.bin"):
        native.load(replace(request_of_tiny, folder=folder))
    (folder / "model.bin").write_bytes((request_of_tiny.folder / "model.bin").read_bytes()[:1_000_000])
    with pytest.raises(ModelDamaged, match="cut off"):
        native.load(replace(request_of_tiny, folder=folder))
    for broken in ("", "[]", '{"suppress_ids": 3}', '{"alignment_heads": [[1]]}', '{"suppress_ids": ["a"]}'):
        (folder / "config.json").write_text(broken)
        with pytest.raises(ModelDamaged, match=r"config\.json"):
            native.load(replace(request_of_tiny, folder=folder))


def test_arguments_that_the_library_would_refuse_are_engine_errors(engine: NativeWhisper, speech: np.ndarray) -> None:
    encoded = engine.encode(speech)
    prompt = engine.tokenizer.prompt("en", "transcribe")
    for features in (speech[:, :79], speech[:, :, :999], speech[:0], np.zeros((1, 80, 3002), np.float32), speech[0]):
        with pytest.raises(EngineError):
            engine.encode(features)
    for prompts in ([prompt], [prompt] * 3, [(60_000,), (60_000,)], [(-1,), (-1,)], [(), ()], [prompt * 300] * 2):
        with pytest.raises(EngineError):
            engine.generate(encoded, prompts, Decoding())
    for decoding in (
        Decoding(0),
        Decoding(-5),
        Decoding(10_000),
        Decoding(max_new_tokens=0),
        Decoding(temperature=-1.0),
    ):
        with pytest.raises(EngineError):
            engine.generate(encoded, [prompt] * 2, decoding)


def test_a_library_that_is_none_says_so(tmp_path: Path) -> None:
    fake = tmp_path / "libautorag_whisper_cpu.so"
    fake.write_bytes(b"\x7fELF and nothing else")
    with pytest.raises(NativeUnavailableError, match="does not load"):
        NativeLibrary(fake)
    import _ctypes

    with pytest.raises(NativeUnavailableError):
        NativeLibrary(type(tmp_path)(_ctypes.__file__ or fake))


def test_what_a_build_has_not_finished_is_not_the_library(tmp_path: Path) -> None:
    """A build that was killed leaves its file beside the library of the build before."""
    (tmp_path / ".libautorag_whisper_cpu.so.tmp-1").touch()
    assert library_in(tmp_path) is None
    for name in ("libautorag_whisper_cpu.so", "libautorag_whisper_cpu.dylib", "autorag_whisper_cpu.dll"):
        (tmp_path / name).touch()
        assert library_in(tmp_path) == tmp_path / name
        (tmp_path / name).unlink()


def test_an_audio_is_refused_once_its_model_was_closed(request_of_tiny: LoadRequest, speech: np.ndarray) -> None:
    engine = native.load(request_of_tiny)
    audio = engine._model.audio(engine._model.encode(speech[0]))
    engine.close()
    with pytest.raises(NativeCallError, match="closed"):
        _ = audio.handle
    audio.close()


FORKED = """
import os, sys
import numpy as np
from pathlib import Path
from autorag_whisper.domain.device import CPU
from autorag_whisper.engines import native
from autorag_whisper.engines.base import Decoding
from autorag_whisper.engines.ctranslate2 import LoadRequest

def heard(engine):
    features = np.zeros((1, 80, 1000), np.float32)
    return engine.generate(engine.encode(features), [engine.tokenizer.prompt("en", "transcribe")], Decoding(1))[0]

request = LoadRequest(Path(sys.argv[1]), "tiny.en", CPU, "int8", 2, strict_window=False)
engine = native.load(request)
text = heard(engine)
child = os.fork()
if child == 0:
    own = native.load(request)
    same = heard(own) == text and heard(engine) == text
    del engine, own
    os._exit(0 if same else 1)
assert os.waitpid(child, 0)[1] == 0
assert heard(engine) == text
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_computes_and_its_parent_goes_on(tiny_en_int8_folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED, tiny_en_int8_folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


NO_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from autorag_whisper.domain.device import CPU
from autorag_whisper.engines import native
from autorag_whisper.engines.base import Decoding
from autorag_whisper.engines.ctranslate2 import LoadRequest

request = LoadRequest(Path(sys.argv[1]), "tiny.en", CPU, "int8", 1, strict_window=False)
native.load(request).close()
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (110 << 20), -1))
try:
    engine = native.load(request)
except MemoryError:
    print("MemoryError at load")
    sys.exit()
held = []
try:
    while True:
        held.append(engine.encode(np.zeros((1, 80, 3000), np.float32)))
        prompt = [engine.tokenizer.prompt("en", "transcribe")]
        engine.generate(held[-1], prompt, Decoding(5, max_new_tokens=2))
except MemoryError:
    print("MemoryError at work")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_memory_that_is_not_to_be_had_is_a_memory_error(tiny_en_int8_folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_MEMORY, tiny_en_int8_folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("MemoryError at ")

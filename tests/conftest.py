"""What every test stands on: a clean environment, weights that came as packages, the kit of recordings."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from examples import ALL
from kit import unpack_nasty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.postgres_server import PostgresServer

    from autorag_whisper.engines.native_library import NativeLibrary

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
KIT, REQUIRE_KIT = "AUTORAG_WHISPER_KIT", "AUTORAG_WHISPER_REQUIRE_KIT"
REQUIRE_POSTGRES = "AUTORAG_WHISPER_REQUIRE_POSTGRES"
REQUIRE_NATIVE = "AUTORAG_WHISPER_REQUIRE_NATIVE"
LARGEST_SHAPES = "AUTORAG_WHISPER_LARGEST_SHAPES"
KEPT = {KIT, REQUIRE_KIT, REQUIRE_POSTGRES, REQUIRE_NATIVE, LARGEST_SHAPES, "AUTORAG_WHISPER_KERNELS"}

# No deadline: two cores are shared with whatever else runs, and a slow example is no wrong one. Half of the examples:
# they are the same in each run, and `make explore` tries all, new ones each time (exploring.py).
settings.register_profile(
    "house",
    derandomize=True,
    max_examples=ALL // 2,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")


def pytest_configure() -> None:
    """Neither what the developer has set nor what lies in the home folder decides what a test finds.

    Here and not in a fixture, because libraries read their variables when they are imported.
    """
    for name in list(os.environ):
        if name.startswith(("AUTORAG_WHISPER_", "HF_")) and name not in KEPT:
            del os.environ[name]
    # Byte code is kept: without it each process of a test compiles again all that it imports.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # What a shell puts in the background ignores Ctrl-C, and so would every command that a test interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Kept between runs: joining the halves of base costs a second and 145 MB each time.
    os.environ["AUTORAG_WHISPER_CACHE_DIR"] = str(CACHE / "models")
    os.environ["AUTORAG_WHISPER_OFFLINE"] = "1"
    os.environ["HF_HOME"] = str(CACHE / "huggingface")


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Tests run in two processes, which have to agree on their names, and which take file after file in this order.

    Those of `unit` are last, when they have been shuffled: short ones, with which both processes end together.
    """
    yield
    items.sort(key=lambda item: item.path.parent.name == "unit")
    if odd := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        message = f"names that differ from run to run, give the parameters ids: {odd}"
        raise pytest.UsageError(message)


@pytest.fixture(autouse=True)
def _level_of_the_log() -> Iterator[None]:
    """A command sets it for its process: `--quiet` in one test hid what another one was told."""
    log = logging.getLogger("autorag_whisper")
    before = log.level
    yield
    log.setLevel(before)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def demo_sample(root: Path) -> Path:
    """Speech of 12 s with a pause; `demo.words.json` beside it has its words and their exact times."""
    return root / "samples" / "demo.flac"


@pytest.fixture(scope="session")
def kit() -> Path:
    """The kit's folder. Without it the test is skipped, or fails where the kit is demanded (`.ci/run`)."""
    folder = Path(os.environ.get(KIT) or ROOT.parent / "shared" / "kit")
    if (folder / "tts" / "manifest.jsonl").is_file():
        return folder
    reason = f"no recordings at {folder}: set {KIT} to the kit's folder"
    if os.environ.get(REQUIRE_KIT) == "1":
        pytest.fail(f"{reason} ({REQUIRE_KIT}=1 demands them)")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def nasty(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hostile files, unpacked for this session; read them with `kit.read_manifest`."""
    return unpack_nasty(kit, tmp_path_factory.mktemp("nasty"))


def _weights(name: str) -> Path:
    from autorag_whisper.models.store import ModelStore

    return ModelStore(cache_dir=CACHE / "models", offline=True).resolve(name).folder


@pytest.fixture(scope="session")
def tiny_en_folder() -> Path:
    """Whisper tiny.en, from its package."""
    return _weights("tiny.en")


@pytest.fixture(scope="session")
def base_folder() -> Path:
    """Whisper base, from its two packages, joined."""
    return _weights("base")


@pytest.fixture(scope="session")
def tiny_en_int8_folder(tiny_en_folder: Path) -> Path:
    """The same in 8 bits, as a CPU's loads have it: converting it takes a second."""
    from autorag_whisper.loading.int8_weights import with_int8_weights

    return with_int8_weights(tiny_en_folder, CACHE / "models")


@pytest.fixture(scope="session")
def native_library() -> NativeLibrary:
    """The native engine's library. Without it the test is skipped, or fails where it is demanded (`.ci/run`)."""
    from autorag_whisper.loading.whisper_loader import find_library

    found = find_library()
    if not isinstance(found, str):
        return found
    if os.environ.get(REQUIRE_NATIVE):
        pytest.fail(f"{found} ({REQUIRE_NATIVE} demands it)")
    pytest.skip(found)


@pytest.fixture(scope="session")
def ctc_tiny_en_folder(root: Path) -> Path:
    """A wav2vec2-shaped CTC model of 2.4 MB, trained on synthetic speech by `scripts/train_ctc.py`."""
    return root / "tests" / "data" / "ctc-tiny-en"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A database server of this run's own. What is committed need not survive a power cut."""
    from benchmarks.postgres_server import NoPostgresError, PostgresServer

    try:
        server = PostgresServer("-c", "fsync=off")
    except NoPostgresError as absent:
        if os.environ.get(REQUIRE_POSTGRES):
            pytest.fail(str(absent))
        pytest.skip(str(absent))
    yield server
    server.close()

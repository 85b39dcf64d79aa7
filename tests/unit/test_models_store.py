"""From a name to a folder: which source wins, and what is said when none has it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

from autorag_whisper.domain.errors import ModelDamaged, ModelNotFound, ModelUnavailable
from autorag_whisper.models.catalogue import CATALOGUE, NAMES
from autorag_whisper.models.packaged import PACKAGED, extra_with, install_command
from autorag_whisper.models.store import ModelOrigin, ModelStore, default_cache_dir
from model_folders import make_cached, make_model, weights

HUB_CACHE = "huggingface_hub.constants.HF_HUB_CACHE"


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(HUB_CACHE, str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def store(tmp_path: Path, hub_cache: Path) -> ModelStore:
    return ModelStore(cache_dir=tmp_path / "cache", offline=True)


def test_a_folder_written_as_a_path_is_taken_and_called_by_its_last_name(store: ModelStore, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "models" / "mine")
    files = store.resolve(str(folder))
    assert (files.name, files.folder, files.origin) == ("mine", folder, ModelOrigin.FOLDER)


def test_one_folder_is_one_folder_however_it_is_spelt(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(tmp_path / "mine")
    (tmp_path / "link").symlink_to("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    spellings = ["mine", "./mine", "mine/", "link", "~/mine", f"{tmp_path}/x/../mine".replace("x/../", "./")]
    assert {store.resolve(name).folder for name in spellings} == {tmp_path / "mine"}


def test_a_folder_called_like_a_size_wins_only_when_written_as_a_path(
    store: ModelStore, hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(tmp_path / "small")
    monkeypatch.chdir(tmp_path)
    cached = make_cached(hub_cache, CATALOGUE["small"].hub_id)
    assert store.resolve("small").folder == cached
    assert store.resolve("./small").folder == tmp_path / "small"


def test_a_folder_wins_over_a_hub_id_of_the_same_spelling(
    store: ModelStore, hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(tmp_path / "owner" / "name")
    make_cached(hub_cache, "owner/name")
    monkeypatch.chdir(tmp_path)
    assert store.resolve("owner/name").origin is ModelOrigin.FOLDER


@pytest.mark.parametrize(("name", "size"), [("medium", "medium"), ("turbo", "large-v3-turbo"), ("large", "large-v3")])
def test_a_size_or_alias_is_found_in_the_hubs_cache(store: ModelStore, hub_cache: Path, name: str, size: str) -> None:
    cached = make_cached(hub_cache, CATALOGUE[size].hub_id)
    files = store.resolve(name)
    assert (files.name, files.folder, files.origin) == (name, cached, ModelOrigin.CACHE)
    assert files.strict_window == CATALOGUE[size].strict_window


def test_a_hub_id_is_found_in_the_hubs_cache_and_its_header_tells_a_distilled_model(
    store: ModelStore, hub_cache: Path
) -> None:
    make_cached(hub_cache, "owner/plain")
    make_cached(hub_cache, "owner/quick", weights(encoder_layers=4, decoder_layers=1))
    assert not store.resolve("owner/plain").strict_window
    assert store.resolve("owner/quick").strict_window


def test_the_hubs_cache_wins_over_a_package(store: ModelStore, hub_cache: Path) -> None:
    assert store.resolve("tiny.en").origin is ModelOrigin.PACKAGE
    make_cached(hub_cache, CATALOGUE["tiny.en"].hub_id)
    assert store.resolve("tiny.en").origin is ModelOrigin.CACHE


def test_a_damaged_snapshot_gives_way_to_a_package_and_is_logged(
    store: ModelStore, hub_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_cached(hub_cache, CATALOGUE["tiny.en"].hub_id, weights()[:-3])
    assert store.resolve("tiny.en").origin is ModelOrigin.PACKAGE
    assert [(record.levelname, "model.bin: is cut off" in record.message) for record in caplog.records] == [
        ("WARNING", True)
    ]


def test_a_damaged_snapshot_that_nothing_can_replace_is_the_error(store: ModelStore, hub_cache: Path) -> None:
    make_cached(hub_cache, "owner/name", weights()[:-3])
    with pytest.raises(ModelDamaged, match=r"model 'owner/name': model\.bin: is cut off"):
        store.resolve("owner/name")


def test_a_snapshot_whose_blob_is_gone_is_missing_a_file(store: ModelStore, hub_cache: Path) -> None:
    snapshot = make_cached(hub_cache, "owner/name")
    (snapshot / "model.bin").resolve().unlink()
    with pytest.raises(ModelDamaged, match=r"model\.bin: is missing"):
        store.resolve("owner/name")


@pytest.mark.parametrize("reference", ["../../../elsewhere", "", "..", "a/b", "\0"])
def test_a_reference_in_the_cache_cannot_lead_out_of_it(store: ModelStore, hub_cache: Path, reference: str) -> None:
    snapshot = make_cached(hub_cache, "owner/name")
    make_model(hub_cache.parent / "elsewhere")
    (snapshot.parents[1] / "refs" / "main").write_text(reference)
    with pytest.raises(ModelUnavailable):
        store.resolve("owner/name")


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "nope", "Base", "base ", "../missing/x", "a/../b", "./missing", "a/b/c", "a\0b", "x" * 5000),
        *("~nobody-has-this-name/x", "https://example.org/a", "models--a--b"),
    ],
)
def test_a_name_that_is_nothing_we_know_is_an_error_that_lists_the_known_names(store: ModelStore, name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        store.resolve(name)
    assert tuple(caught.value.known) == NAMES
    assert len(str(caught.value)) < 600


def test_a_file_in_a_models_place_means_its_folder_or_is_told_apart(store: ModelStore, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mine")
    assert store.resolve(str(folder / "model.bin")).folder == folder
    with pytest.raises(ModelDamaged, match="a model is a folder"):
        store.resolve(str(folder / "config.json"))


def test_a_folder_that_holds_no_model_names_the_missing_file_and_no_path(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(ModelDamaged) as caught:
        store.resolve(str(tmp_path / "photos"))
    assert str(caught.value).startswith("model 'photos': model.bin: is missing.")


UNREADABLE = """
import os, sys
from pathlib import Path
from autorag_whisper.domain.errors import ModelDamaged
from autorag_whisper.models import hub
from autorag_whisper.models.store import ModelStore
from huggingface_hub import constants

constants.HF_HUB_CACHE = sys.argv[2]
store = ModelStore(cache_dir=Path(sys.argv[2]), offline=True)
store.status()  # imports what another user might not read
if os.geteuid() == 0:
    os.seteuid(65534)  # root may read everything
for name in (sys.argv[1], "tiny"):
    try:
        store.resolve(name)
    except ModelDamaged as error:
        print(error)
print([status.problem for status in store.status() if status.problem], list(hub.cached_ids()))
"""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are POSIX's")
def test_folders_that_this_user_may_not_read_are_told_with_what_mends_it() -> None:
    top = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own folders are closed to other users
    top.chmod(0o755)
    closed = [make_model(top / "given"), make_cached(top, CATALOGUE["tiny"].hub_id)]
    for folder in closed:
        folder.chmod(0)
    try:
        done = subprocess.run(
            [sys.executable, "-c", UNREADABLE, closed[0], top], capture_output=True, text=True, check=False, timeout=240
        )
    finally:
        for folder in closed:
            folder.chmod(0o755)
        shutil.rmtree(top)
    assert done.returncode == 0, done.stderr
    of_folder, of_cache, listed = done.stdout.splitlines()
    for line in (of_folder, of_cache):
        assert "model.bin: cannot be read (Permission denied). let this user read it" in line
    assert listed == f"['model.bin cannot be read (Permission denied)'] ['{CATALOGUE['tiny'].hub_id}']"


def test_what_is_not_here_says_why_it_was_not_fetched(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="downloads are switched off"):
        store.resolve("small")
    online = ModelStore(cache_dir=tmp_path / "cache")
    with pytest.raises(ModelUnavailable, match="models pull"):
        online.resolve("small", download=False)


@pytest.mark.parametrize("name", sorted(PACKAGED))
def test_what_a_package_would_bring_is_told_with_the_extra_that_installs_it(name: str, root: Path) -> None:
    extras = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert extra_with(name) in extras
    told = str(ModelUnavailable(name, "downloads are switched off", install=install_command(name)))
    assert f'pip install "autorag-whisper[{extra_with(name)}]"' in told
    assert extra_with("large-v3") == ""
    assert "pip install" not in str(ModelUnavailable("large-v3", "downloads are switched off"))


def test_pieces_that_cannot_be_joined_are_a_typed_error(tmp_path: Path, hub_cache: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = tmp_path / "file" / "cache"
    with pytest.raises(ModelUnavailable) as caught:
        ModelStore(cache_dir=folder, offline=True).resolve("base")
    assert f"in the cache directory {folder}: not a directory" in str(caught.value)
    assert "AUTORAG_WHISPER_CACHE_DIR" in str(caught.value)


def test_weights_used_in_place_need_no_cache_that_can_be_written(tmp_path: Path, hub_cache: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    files = ModelStore(cache_dir=tmp_path / "file" / "cache", offline=True).resolve("tiny.en")
    assert files.origin is ModelOrigin.PACKAGE


def test_the_status_tells_what_is_here_from_where_and_what_is_damaged(store: ModelStore, hub_cache: Path) -> None:
    good = make_cached(hub_cache, CATALOGUE["small"].hub_id)
    make_cached(hub_cache, CATALOGUE["medium"].hub_id, weights()[:-3])
    other = make_cached(hub_cache, "owner/name")
    found = {status.name: status for status in store.status()}
    assert set(found) == {*CATALOGUE, "owner/name"}
    assert (found["small"].origin, found["small"].folder) == (ModelOrigin.CACHE, good)
    assert found["small"].size_bytes == sum(path.stat().st_size for path in good.iterdir())
    assert found["medium"].problem.startswith("model.bin is cut off")
    assert (found["owner/name"].folder, found["owner/name"].problem) == (other, "")
    assert (found["large-v3"].origin, found["large-v3"].folder) == (None, None)
    assert found["large-v3"].size_bytes == CATALOGUE["large-v3"].approximate_bytes
    assert found["tiny.en"].origin is ModelOrigin.PACKAGE
    assert found["tiny.en"].folder is not None
    assert (found["base"].origin, found["base"].folder) == (ModelOrigin.PACKAGE, None)


def test_the_status_joins_and_writes_nothing(store: ModelStore) -> None:
    store.status()
    assert not store.cache_dir.exists()


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({"XDG_CACHE_HOME": "/var/c"}, "linux", Path("/var/c/autorag-whisper")),
        ({"XDG_CACHE_HOME": "relative"}, "linux", Path("~/.cache/autorag-whisper")),
        ({}, "linux", Path("~/.cache/autorag-whisper")),
        ({"XDG_CACHE_HOME": "/var/c"}, "darwin", Path("~/Library/Caches/autorag-whisper")),
        ({"LOCALAPPDATA": "/var/l"}, "win32", Path("/var/l/autorag-whisper/Cache")),
        ({}, "win32", Path("~/AppData/Local/autorag-whisper/Cache")),
    ],
)
def test_the_cache_lies_where_the_platform_keeps_caches(environ: dict[str, str], platform: str, expected: Path) -> None:
    assert default_cache_dir(environ, platform) == expected.expanduser()

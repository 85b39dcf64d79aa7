"""Offline is a promise: not one connection is tried, not one address looked up."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.models.catalogue import CATALOGUE
from model_folders import make_cached, make_model, weights

if TYPE_CHECKING:
    from pathlib import Path

# An audit hook cannot be taken out again, so it lives in a process of its own. It sees what any library does,
# below Python's own wrappers; refusing with an OSError also keeps the control below from leaving this machine.
RESOLVE = """
import json, os, socket, sys
from pathlib import Path

tried = []

def forbid(event, arguments):
    if event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}:
        tried.append(event)
        raise OSError(event)
    if event == "socket.__new__" and arguments[1] in {socket.AF_INET, socket.AF_INET6}:
        tried.append(event)
        raise OSError(event)

sys.addaudithook(forbid)

from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.models.store import ModelStore
from autorag_whisper.settings import Settings

settings = Settings.from_env(os.environ)
store = ModelStore(cache_dir=settings.cache_dir, offline=settings.offline)
outcomes = {}
for name in sys.argv[1:]:
    try:
        outcomes[name] = str(store.resolve(name).origin)
    except AutoragWhisperError as error:
        outcomes[name] = type(error).__name__
store.status()
clients = sorted({"httpx", "httpx2", "requests", "urllib3", "hf_xet"} & set(sys.modules))
print(json.dumps({"outcomes": outcomes, "tried": tried, "clients": clients}))
"""


@dataclass(frozen=True, slots=True)
class Report:
    outcomes: dict[str, str]
    tried: list[str]
    clients: list[str]


def resolve(environment: pytest.MonkeyPatch, variables: dict[str, str], names: list[str]) -> Report:
    for name in ("AUTORAG_WHISPER_OFFLINE", "HF_HUB_OFFLINE"):
        environment.delenv(name, raising=False)
    for name, value in variables.items():
        environment.setenv(name, value)
    command = [sys.executable, "-c", RESOLVE, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return Report(**json.loads(done.stdout))


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Names of every kind and what they come to offline."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    make_cached(tmp_path / "hub", CATALOGUE["medium"].hub_id)
    make_cached(tmp_path / "hub", "owner/cached")
    make_cached(tmp_path / "hub", "owner/damaged", weights()[:-3])
    (make_cached(tmp_path / "hub", "owner/incomplete") / "config.json").unlink()
    return {
        "tiny.en": "package",
        "base": "package",
        "medium": "hub cache",
        "owner/cached": "hub cache",
        "owner/damaged": "ModelDamaged",
        "owner/incomplete": "ModelDamaged",
        "small": "ModelUnavailable",
        "turbo": "ModelUnavailable",
        "owner/missing": "ModelUnavailable",
        str(make_model(tmp_path / "mine")): "folder",
        "nope": "ModelNotFound",
    }


@pytest.mark.parametrize("variable", ["AUTORAG_WHISPER_OFFLINE", "HF_HUB_OFFLINE"])
def test_either_variable_keeps_every_name_from_the_network(
    expected: dict[str, str], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    report = resolve(monkeypatch, {variable: "1"}, list(expected))
    assert report.outcomes == expected
    assert report.tried == []
    assert report.clients == []


def test_without_them_the_guard_of_this_test_catches_the_attempt(
    expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = resolve(monkeypatch, {"AUTORAG_WHISPER_OFFLINE": "0"}, ["small"])
    assert report.outcomes == {"small": "ModelUnavailable"}
    assert report.tried != []


def test_online_too_what_is_on_this_machine_needs_no_network(
    expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = [name for name, outcome in expected.items() if not outcome.startswith("Model")]
    report = resolve(monkeypatch, {}, here)
    assert report.outcomes == {name: expected[name] for name in here}
    assert report.tried == []

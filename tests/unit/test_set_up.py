"""`scripts/venv.sh`, which makes .venv for the Makefile, against a Python that only notes what it is asked."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Makes environments that hold itself; answers the script's questions by the variables; notes every call of pip.
STAND_IN = """#!/bin/sh
case "$*" in
  --version) echo "Python 3.9.0" ;;
  *version_info*) exit "${TOO_OLD:-0}" ;;
  *ensurepip*) exit "${NO_ENSUREPIP:-0}" ;;
  "-m venv "*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  "-m pip "*) echo "$*" >> pip-calls; exit "${PIP_FAILS:-0}" ;;
esac
"""


@dataclass(frozen=True)
class Checkout:
    folder: Path

    def set_up(self, wanted: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(self.folder / "stand-in"), **variables}
        command = [str(self.folder / "scripts" / "venv.sh"), wanted]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def pip_calls(self) -> list[str]:
        """What pip was asked since the last look."""
        notes = self.folder / "pip-calls"
        calls = notes.read_text().splitlines() if notes.exists() else []
        notes.unlink(missing_ok=True)
        return calls


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    folder = tmp_path / "a folder with spaces"
    for name in ("scripts/venv.sh", "requirements/demo.txt", "requirements/dev.txt", "pyproject.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "stand-in").write_text(STAND_IN)
    (folder / "stand-in").chmod(0o755)
    return Checkout(folder)


def test_the_first_set_up_takes_hashed_pins_and_then_the_checkout_with_nothing_else(checkout: Checkout) -> None:
    done = checkout.set_up("dev")
    assert (done.returncode, done.stdout) == (0, "")
    pins, ourselves = checkout.pip_calls()
    assert pins.endswith("--require-hashes -r requirements/dev.txt")
    assert ourselves.endswith("--no-deps --no-build-isolation -e .")


def test_a_set_up_that_still_holds_asks_pip_for_nothing(checkout: Checkout) -> None:
    checkout.set_up("dev")
    checkout.pip_calls()
    assert checkout.set_up("dev").stderr == ""
    assert checkout.set_up("demo").stderr == ""  # dev holds all of demo
    assert checkout.pip_calls() == []


def test_the_tests_need_more_than_the_demo_left(checkout: Checkout) -> None:
    checkout.set_up("demo")
    checkout.pip_calls()
    checkout.set_up("dev")
    assert len(checkout.pip_calls()) == 2


@pytest.mark.parametrize("changed", ["requirements/dev.txt", "pyproject.toml"])
def test_a_change_of_what_it_was_made_from_makes_it_stale(checkout: Checkout, changed: str) -> None:
    checkout.set_up("dev")
    checkout.pip_calls()
    with (checkout.folder / changed).open("a") as file:
        file.write("# another pin\n")
    checkout.set_up("dev")
    assert len(checkout.pip_calls()) == 2


def test_a_set_up_that_failed_is_tried_again(checkout: Checkout) -> None:
    assert checkout.set_up("dev", PIP_FAILS="1").returncode == 1
    checkout.pip_calls()
    assert checkout.set_up("dev").returncode == 0
    assert len(checkout.pip_calls()) == 2


def test_a_python_without_ensurepip_is_refused_with_the_package_to_install(checkout: Checkout) -> None:
    done = checkout.set_up("demo", NO_ENSUREPIP="1")
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr
    assert not (checkout.folder / ".venv").exists()


def test_a_python_that_is_too_old_is_refused_with_its_version(checkout: Checkout) -> None:
    # A PATH with nothing but what the script needs, so that it finds no newer Python on the machine that tests it.
    empty = checkout.folder / "bin"
    empty.mkdir()
    for tool in ("sh", "dirname", "cat", "cksum"):
        (empty / tool).symlink_to(shutil.which(tool) or tool)
    done = checkout.set_up("demo", TOO_OLD="1", PATH=str(empty))
    assert done.returncode == 1
    assert done.stderr.startswith("autorag-whisper needs Python 3.11 or newer; ")
    assert "Python 3.9.0" in done.stderr


def test_a_change_of_the_native_sources_installs_the_checkout_again_and_fetches_nothing(checkout: Checkout) -> None:
    source = checkout.folder / "native" / "kernel.cpp"
    source.parent.mkdir()
    source.write_text("one")
    checkout.set_up("dev")
    checkout.pip_calls()
    checkout.set_up("demo")
    assert checkout.pip_calls() == []
    source.write_text("two")
    checkout.set_up("demo")
    (ourselves,) = checkout.pip_calls()
    assert ourselves.endswith("--no-deps --no-build-isolation -e .")
    checkout.set_up("dev")
    assert checkout.pip_calls() == []


def test_a_compiler_that_appears_builds_what_was_left_out(checkout: Checkout) -> None:
    (checkout.folder / "native").mkdir()
    checkout.set_up("dev")
    checkout.pip_calls()
    checkout.set_up("dev", CXX="another-c++")
    assert len(checkout.pip_calls()) == 1

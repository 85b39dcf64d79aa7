"""`hatch_build.py` on a checkout of a few files: wheels with and without a compiler, and what it says then."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CMAKE = """cmake_minimum_required(VERSION 3.20)
project(little CXX)
add_library(autorag_whisper_cpu SHARED little.cpp)
"""
BODY = 'extern "C" int awc_abi() { return %d; }\n'
PYPROJECT = """[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"
[project]
name = "autorag-whisper"
version = "1"
requires-python = ">=3.11"
[tool.hatch.build.targets.wheel]
packages = ["src/autorag_whisper"]
[tool.hatch.build.targets.wheel.hooks.custom]
"""
IGNORED = "/src/autorag_whisper/engines/*autorag_whisper_cpu.*\nbuild/\n"

needs_compiler = pytest.mark.skipif(
    not (shutil.which("c++") or shutil.which("g++")) or not shutil.which("cmake"), reason="needs a C++ compiler, CMake"
)


@dataclass(frozen=True)
class Checkout:
    folder: Path

    def write(self, name: str, content: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def build(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """A wheel in `wheels`, built as pip does without isolation."""
        shutil.rmtree(self.folder / "wheels", ignore_errors=True)
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-v", "-w", "wheels", "."]
        return subprocess.run(
            command, cwd=self.folder, env=os.environ | environment, capture_output=True, text=True, check=False
        )

    def wheel(self) -> tuple[str, list[str]]:
        """The only wheel's name, and the libraries in it."""
        (path,) = (self.folder / "wheels").glob("*.whl")
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        assert "autorag_whisper/__init__.py" in names
        return path.name, [name for name in names if "autorag_whisper_cpu" in name]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    found = Checkout(tmp_path / "a folder with spaces")
    found.write("pyproject.toml", PYPROJECT)
    found.write(".gitignore", IGNORED)
    found.write("src/autorag_whisper/__init__.py", "")
    found.write("src/autorag_whisper/engines/__init__.py", "")
    found.write("native/CMakeLists.txt", CMAKE)
    found.write("native/little.cpp", BODY % 1)
    shutil.copy(ROOT / "hatch_build.py", found.folder)
    return found


@pytest.fixture
def without_compiler(tmp_path: Path) -> dict[str, str]:
    """A PATH with neither a compiler nor CMake."""
    empty = tmp_path / "bin"
    empty.mkdir()
    for tool in ("sh", "uname", "ldd"):
        if found := shutil.which(tool):
            (empty / tool).symlink_to(found)
    return {"PATH": str(empty), "CXX": ""}


@needs_compiler
def test_with_a_compiler_the_wheel_has_the_library_and_is_for_this_system_alone(checkout: Checkout) -> None:
    done = checkout.build()
    assert done.returncode == 0, done.stdout + done.stderr
    name, libraries = checkout.wheel()
    assert len(libraries) == 1
    assert libraries[0].startswith("autorag_whisper/engines/")
    assert name.startswith("autorag_whisper-1-py3-none-")
    assert not name.endswith("-any.whl")


def test_without_a_compiler_the_wheel_is_pure_python_and_says_why(
    checkout: Checkout, without_compiler: dict[str, str]
) -> None:
    checkout.write("src/autorag_whisper/engines/libautorag_whisper_cpu.so", "of an earlier build")
    done = checkout.build(**without_compiler)
    assert done.returncode == 0, done.stdout + done.stderr
    assert checkout.wheel() == ("autorag_whisper-1-py3-none-any.whl", [])
    assert "no C++ compiler was found" in done.stdout + done.stderr
    assert not (checkout.folder / "src/autorag_whisper/engines/libautorag_whisper_cpu.so").exists(), "it is stale"


def test_where_the_library_is_required_a_build_without_a_compiler_fails(
    checkout: Checkout, without_compiler: dict[str, str]
) -> None:
    done = checkout.build(**without_compiler, AUTORAG_WHISPER_NATIVE_BUILD="require")
    assert done.returncode
    assert "no C++ compiler was found" in done.stdout + done.stderr


def test_it_can_be_left_out(checkout: Checkout) -> None:
    assert checkout.build(AUTORAG_WHISPER_NATIVE_BUILD="off").returncode == 0
    assert checkout.wheel() == ("autorag_whisper-1-py3-none-any.whl", [])


@pytest.mark.slow
@needs_compiler
def test_sources_that_do_not_compile_give_pure_python_and_the_compilers_words(checkout: Checkout) -> None:
    checkout.write("native/little.cpp", "this is not C++")
    done = checkout.build()
    assert done.returncode == 0
    assert checkout.wheel() == ("autorag_whisper-1-py3-none-any.whl", [])
    assert "it did not compile" in done.stdout + done.stderr
    assert checkout.build(AUTORAG_WHISPER_NATIVE_BUILD="require").returncode


@pytest.mark.slow
@needs_compiler
def test_a_change_of_the_sources_and_a_move_of_the_checkout_build_it_anew(checkout: Checkout) -> None:
    def abi(at: Path) -> int:
        (library,) = (at / "src/autorag_whisper/engines").glob("*autorag_whisper_cpu.*")
        code = f"import ctypes; print(ctypes.CDLL({str(library)!r}).awc_abi())"
        return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)

    assert checkout.build().returncode == 0
    assert abi(checkout.folder) == 1
    checkout.write("native/little.cpp", BODY % 2)
    assert checkout.build().returncode == 0
    assert abi(checkout.folder) == 2
    moved = Checkout(checkout.folder.with_name("moved"))
    checkout.folder.rename(moved.folder)
    moved.write("native/little.cpp", BODY % 3)
    assert moved.build().returncode == 0
    assert abi(moved.folder) == 3

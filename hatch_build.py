"""Hatchling's hook that compiles `native/` into a wheel where there is a C++ compiler; else the wheel is pure Python.

Without the library everything works, on CTranslate2; so nothing that goes wrong here fails an installation, unless
AUTORAG_WHISPER_NATIVE_BUILD=require says so (wheels that are published, CI). =off leaves it out.

An editable install finds the library beside the sources. CMake builds in `build/native`, so a second time costs what
has changed.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SWITCH = "AUTORAG_WHISPER_NATIVE_BUILD"
CHOICES = ("auto", "require", "off")
TARGET = "autorag_whisper_cpu"
PLACE = Path("src", "autorag_whisper", "engines")
LIMIT_BYTES = 1_000_000
"""The installed core has a limit; a library above this was not stripped."""


class NativeBuildError(Exception):
    """Why there is no library: one line, and what the tools said."""


class NativeLibraryHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling is not there when mypy looks
    """Adds the library to a wheel, and tells in its tag for which system it is."""

    def dependencies(self) -> list[str]:
        """CMake from the registry, where a compiler is here and CMake is not."""
        if _wanted() == "off" or not (Path(self.root) / "native" / "CMakeLists.txt").is_file():
            return []
        return ["cmake>=3.25", "ninja>=1.11"] if _compiler() and not _program("cmake") else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling calls it
        """Called before a wheel is put together, an editable install's too."""
        root = Path(self.root)
        for left_over in (root / PLACE).glob(f"*{TARGET}.*"):
            left_over.unlink()
        try:
            library = build(root)
        except NativeBuildError as error:
            if _wanted() == "require":
                raise
            self.app.display_warning(f"without the native engine: {error}")
            return
        if library is None:
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{_platform()}"
        build_data["artifacts"].append(f"/{(PLACE / library.name).as_posix()}")  # though git ignores it


def build(root: Path) -> Path | None:
    """Compile the library and put it beside the module that loads it; None where it is not wanted.

    Raises NativeBuildError where that cannot be.
    """
    if _wanted() == "off":
        return None
    if not (root / "native" / "CMakeLists.txt").is_file():
        raise NativeBuildError("its sources are not here")
    if not _compiler():
        raise NativeBuildError("no C++ compiler was found")
    cmake = _program("cmake")
    if cmake is None:
        raise NativeBuildError("CMake was not found")
    folder = root / "build" / "native"
    if _cache_of_another_folder(folder):
        shutil.rmtree(folder)
    generator = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"] if (ninja := _program("ninja")) else []
    if (folder / "CMakeCache.txt").is_file():
        generator = []  # it stays the one that it was made for
    configure = [cmake, "-S", root / "native", "-B", folder, "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=OFF"]
    if sys.platform == "darwin":
        version, architecture = _macos()
        configure += [f"-DCMAKE_OSX_DEPLOYMENT_TARGET={version}", f"-DCMAKE_OSX_ARCHITECTURES={architecture}"]
    _run([*configure, *generator], "CMake could not configure it")
    _run([cmake, "--build", folder, "--config", "Release", "--target", TARGET, "--parallel"], "it did not compile")
    found = [path for path in folder.rglob(f"*{TARGET}.*") if path.suffix in {".so", ".dylib", ".dll"}]
    if not found:
        raise NativeBuildError("the build made no library")
    target = root / PLACE / max(found, key=lambda path: path.stat().st_mtime_ns).name
    # Renamed into place: a process that has the old one loaded keeps its pages.
    new = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    shutil.copyfile(max(found, key=lambda path: path.stat().st_mtime_ns), new)
    _strip(new)
    if new.stat().st_size > LIMIT_BYTES:
        size = new.stat().st_size
        new.unlink()
        raise NativeBuildError(f"the library has {size:,} bytes, more than {LIMIT_BYTES:,}")
    new.replace(target)
    return target


def _wanted() -> str:
    value = os.environ.get(SWITCH, "").strip().lower() or "auto"
    if value not in CHOICES:
        raise ValueError(f"{SWITCH}={value!r}: use {', '.join(CHOICES)}")
    return value


def _compiler() -> str | None:
    """Some C++ compiler; on Windows CMake itself knows where to look."""
    if os.name == "nt":
        return "cl"
    named = os.environ.get("CXX", "").split()
    return next(filter(None, (shutil.which(name) for name in [*named[:1], "c++", "g++", "clang++"])), None)


def _program(name: str) -> str | None:
    """A tool on PATH, or beside this Python, where its package from the registry puts it."""
    beside = Path(sys.executable).parent
    return shutil.which(name) or shutil.which(name, path=str(beside))


def _cache_of_another_folder(folder: Path) -> bool:
    """Whether CMake's notes there are of another place, at which it fails: the checkout was moved or copied."""
    cache = folder / "CMakeCache.txt"
    if not cache.is_file():
        return False
    named = [
        line.partition("=")[2] for line in cache.read_text().splitlines() if line.startswith("CMAKE_CACHEFILE_DIR")
    ]
    return named != [folder.as_posix()]


def _run(command: list[str | Path], problem: str) -> None:
    done = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise NativeBuildError(f"{problem}:\n{done.stdout[-3000:]}")


def _strip(library: Path) -> None:
    """Take the symbols out that only a debugger reads. A smaller file is all that depends on it."""
    options = {".so": ["--strip-unneeded"], ".dylib": ["-x"]}.get(library.suffixes[0] if library.suffixes else "")
    strip = shutil.which("strip")
    if options and strip:
        subprocess.run([strip, *options, str(library)], check=False, capture_output=True)


def _platform() -> str:
    """The system of a wheel's tag: "linux_x86_64"."""
    if sys.platform == "darwin":  # Python's own says "universal2", which the library is not
        return f"macosx_{_macos()[0]}_{_macos()[1]}".replace(".", "_")
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


def _macos() -> tuple[str, str]:
    """The oldest version that the library is for, and its architecture; as cibuildwheel says both."""
    named = os.environ.get("ARCHFLAGS", "").split()
    return os.environ.get("MACOSX_DEPLOYMENT_TARGET") or "11.0", named[-1] if named else platform.machine()

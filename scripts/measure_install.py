#!/usr/bin/env python3
"""Install the core (no weights, no tools) into a fresh environment, as a user would, and say how large it is.

    .venv/bin/python scripts/measure_install.py [--limit-mb 500]

Installs the wheel that this checkout builds, so what the wheel leaves out is missed here and not at a user's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("py.typed", "engines/silero_vad_v6.onnx", "format/transcript.schema.json", "server/page/files/index.html")
"""Files that are not Python and that a wheel loses easily."""


def run(*command: str | Path) -> str:
    """Standard output; a failure ends the script with what the command said."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def disk_mb(folder: Path) -> float:
    """Megabytes (10^6 bytes) on the disk, blocks counted whole, links not followed."""
    files = [Path(base) / name for base, _, names in os.walk(folder) for name in names]
    return sum(file.lstat().st_blocks * 512 for file in files) / 1e6


def install_core(folder: Path, bin_dir: Path) -> None:
    """The pinned core and this checkout's wheel, into the environment of `bin_dir`."""
    pip = (bin_dir / "python", "-m", "pip", "install", "-qq")
    run(*pip, "--require-hashes", "-r", ROOT / "requirements" / "core.txt")
    run(sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation", "-w", folder / "wheel", ROOT)
    (wheel,) = (folder / "wheel").glob("autorag_whisper-*.whl")
    run(*pip, "--no-deps", wheel)


def main() -> int:
    """Measure, list the largest parts, and compare with the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit-mb", type=float, default=500.0)
    limit_mb: float = parser.parse_args().limit_mb
    with tempfile.TemporaryDirectory() as scratch:
        bin_dir = Path(scratch) / "venv" / "bin"
        venv.create(bin_dir.parent, with_pip=True)
        empty_mb = disk_mb(bin_dir.parent)
        install_core(Path(scratch), bin_dir)
        run(bin_dir / "python", "-m", "pip", "check")
        run(bin_dir / "autorag-whisper", "--help")
        packages = Path(run(bin_dir / "python", "-c", "import sysconfig; print(sysconfig.get_path('platlib'))").strip())
        missing = [name for name in SHIPPED if not (packages / "autorag_whisper" / name).is_file()]
        parts = sorted(((disk_mb(entry), entry.name) for entry in packages.iterdir() if entry.is_dir()), reverse=True)
        core_mb = disk_mb(bin_dir.parent) - empty_mb
    for size_mb, name in parts[:8]:
        print(f"{size_mb:8.1f} MB  {name}")
    print(f"{core_mb:8.2f} MB  the core, beside {empty_mb:.1f} MB of the empty environment (limit {limit_mb:g})")
    if missing:
        print(f"missing from the wheel: {', '.join(missing)}")
    return 1 if missing or core_mb > limit_mb else 0


if __name__ == "__main__":
    sys.exit(main())

"""`make explore`: what it finds can be repeated by its seed and kept, and a test that hangs holds nobody up."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LAW = """
from hypothesis import given, strategies as st

@given(st.integers())
def test_no_number_ends_in_seven(number):
    assert number % 10 != 7
"""
NUMBERS_DRAWN = """
from pathlib import Path
from hypothesis import given, strategies as st

@given(st.integers())
def test_numbers_are_drawn(number):
    with Path(__file__).with_suffix(".drawn").open("a") as file:
        file.write(f"{number} ")
"""
HANGS = """
import signal
signal.pause()
"""
FAILS_AND_HANGS = """
import signal
import pytest
from hypothesis import given, strategies as st

@pytest.fixture(autouse=True, scope="module")
def hanging():
    yield
    signal.pause()

@given(st.booleans())
def test_a_fails(truth):
    assert truth
"""


def explore(root: Path, tests: Path, *options: str, inside: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "scripts" / "explore.py"), *options, "--processes", "0", str(tests)]
    return subprocess.run(command, cwd=inside or root, capture_output=True, text=True, timeout=240, check=False)


def test_a_find_fails_with_its_example_its_seed_and_a_patch_that_keeps_it(root: Path, tmp_path: Path) -> None:
    test = tmp_path / "test_law.py"
    test.write_text(LAW, encoding="utf-8")
    done = explore(root, test, "--seed", "4", inside=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "explore: seed 4" in done.stdout
    [number] = set(re.findall(r"number=(-?\d+)", done.stdout))
    [patch] = re.findall(r"git apply (\S+\.patch)", done.stdout)
    added = [line for line in (tmp_path / patch).read_text(encoding="utf-8").splitlines() if line.startswith("+")]
    assert f"@example(number={number}" in "".join(line[1:].strip() for line in added)
    [again] = re.findall(r"to repeat it: (.+)", done.stdout)
    assert "--hypothesis-seed=4" in again
    assert again.endswith("test_law.py::test_no_number_ends_in_seven")


def test_the_same_seed_draws_the_same_examples_and_another_seed_others(root: Path, tmp_path: Path) -> None:
    drawn = []
    for number, seed in enumerate(("4", "4", "5")):
        test = tmp_path / f"{number}" / "test_numbers.py"
        test.parent.mkdir()
        test.write_text(NUMBERS_DRAWN, encoding="utf-8")
        done = explore(root, test, "--seed", seed, "--passes", "1")
        assert done.returncode == 0, done.stdout + done.stderr
        drawn.append(test.with_suffix(".drawn").read_text(encoding="utf-8"))
    assert drawn[0] == drawn[1] != drawn[2]


def test_when_the_time_is_over_no_test_begins(root: Path, tmp_path: Path) -> None:
    test = tmp_path / "test_numbers.py"
    test.write_text(NUMBERS_DRAWN, encoding="utf-8")
    assert explore(root, test, "--minutes", "0").returncode == 0
    assert not test.with_suffix(".drawn").exists()


def test_what_hangs_is_stopped_and_is_no_find(root: Path, tmp_path: Path) -> None:
    test = tmp_path / "test_hangs.py"
    test.write_text(HANGS, encoding="utf-8")
    done = explore(root, test, "--minutes", "0", "--grace", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "was stopped 1 s after the end" in done.stdout


@pytest.mark.slow
def test_what_was_found_before_something_hangs_is_told(root: Path, tmp_path: Path) -> None:
    test = tmp_path / "test_fails_and_hangs.py"
    test.write_text(FAILS_AND_HANGS, encoding="utf-8")
    for minutes in ("0.3", "1.5", "3"):  # as long as a busy machine needs to come to the test that hangs
        done = explore(root, test, "--minutes", minutes, "--grace", "1", "--seed", "1")
        if "nothing was found before" not in done.stdout:
            break
    assert done.returncode == 1, done.stdout + done.stderr
    assert "truth=False" in done.stdout
    assert "test_a_fails" in done.stdout.splitlines()[-2]


def test_what_cannot_be_run_is_an_error_and_not_nothing_found(root: Path, tmp_path: Path) -> None:
    test = tmp_path / "test_broken.py"
    test.write_text("import a_module_that_does_not_exist\n", encoding="utf-8")
    assert explore(root, test, "--passes", "1").returncode != 0

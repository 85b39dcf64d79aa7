"""README's Python examples pass `mypy --strict`, as a user's type checker runs it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from mypy import api

if TYPE_CHECKING:
    from pathlib import Path


def examples(text: str) -> list[str]:
    """The blocks that are marked as Python."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def checked(code: str, folder: Path, root: Path) -> tuple[str, int]:
    """What `mypy --strict` says of a program, and its exit code."""
    program = folder / "example.py"
    program.write_text(code)
    said, errors, code_of_exit = api.run(["--strict", f"--cache-dir={root / '.mypy_cache'}", str(program)])
    return said + errors, code_of_exit


@pytest.mark.slow
def test_the_check_notices_a_mistake(tmp_path: Path, root: Path) -> None:
    mistake = "from autorag_whisper import build_transcriber\nbuild_transcriber().transcribe(3)\n"
    said, code = checked(mistake, tmp_path, root)
    assert code, said


@pytest.mark.parametrize("number", range(4))
def test_an_example_of_the_readme_passes_the_strict_type_checker(number: int, tmp_path: Path, root: Path) -> None:
    said, code = checked(examples((root / "README.md").read_text("utf-8"))[number], tmp_path, root)
    assert not code, said


def test_the_readme_has_five_examples(root: Path) -> None:
    assert len(examples((root / "README.md").read_text("utf-8"))) == 5

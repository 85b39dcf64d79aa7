"""Importing the package, or asking the command for help, loads no runtime: each case in a process of its own."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import autorag_whisper
import autorag_whisper.archive
import autorag_whisper.gpu

if TYPE_CHECKING:
    from types import ModuleType

RUNTIMES = ("av", "ctranslate2", "huggingface_hub", "onnxruntime", "tokenizers", "torch", "transformers", "whisperx")
HEAVY = (*RUNTIMES, "faster_whisper", "numpy", "opentelemetry", "pysubs2", "tqdm")
LOADED = "import sys; print(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))"


def loaded_after(code: str) -> set[str]:
    """The top-level modules in memory after `code`, in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", f"{code}\n{LOADED}"], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_the_probe_sees_what_a_process_loads() -> None:
    assert "numpy" in loaded_after("import numpy")


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import autorag_whisper").isdisjoint({*HEAVY, "click"})


def test_reading_the_settings_loads_nothing_heavy() -> None:
    assert loaded_after("import autorag_whisper.settings").isdisjoint({*HEAVY, "click"})


def test_the_commands_help_loads_nothing_heavy() -> None:
    code = "import sys\nfrom autorag_whisper.cli import main\nsys.argv = ['autorag-whisper', '--help']\ntry: main()\n"
    assert loaded_after(code + "except SystemExit as stop: assert not stop.code").isdisjoint(HEAVY)


@pytest.mark.parametrize("name", autorag_whisper.__all__)
def test_every_public_name_can_be_had_from_the_top_level(name: str) -> None:
    assert getattr(autorag_whisper, name) is not None
    assert name in dir(autorag_whisper)


@pytest.mark.parametrize("package", [autorag_whisper, autorag_whisper.archive, autorag_whisper.gpu])
def test_a_type_checker_sees_the_public_names_that_are_there(package: ModuleType) -> None:
    tree = ast.parse(Path(str(package.__file__)).read_text("utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert all(alias.asname == alias.name for node in block.body for alias in node.names)  # else it is not exported
    assert {*seen, "__version__"} >= {*package.__all__} >= {*seen}
    assert package.__all__ == dir(package)
    for name, module in seen.items():
        assert getattr(package, name) is getattr(import_module(module), name)


def test_finding_files_loads_nothing_heavy() -> None:
    assert loaded_after("import autorag_whisper.archive.inputs").isdisjoint({*HEAVY, "click"})


def test_an_unknown_name_is_an_attribute_error_that_says_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'transcribe_everything'"):
        _ = autorag_whisper.transcribe_everything

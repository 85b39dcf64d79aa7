"""Importing the package, or asking the command for help, loads no runtime: each case in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

import autorag_whisper

RUNTIMES = ("av", "ctranslate2", "huggingface_hub", "onnxruntime", "tokenizers", "torch", "transformers", "whisperx")
HEAVY = (*RUNTIMES, "faster_whisper", "numpy", "opentelemetry", "pysubs2", "rich")
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


def test_an_unknown_name_is_an_attribute_error_that_says_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'transcribe_everything'"):
        _ = autorag_whisper.transcribe_everything

"""The Python examples of the pages run as tests, each page from its top, in a folder with the files that it names."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from sybil import Sybil
from sybil.integration.pytest import SybilItem
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "samples" / "demo.flac"
_MEDIA = re.compile(r"""["'](\w+\.(?:mp4|mp3|flac|ogg|wav))["']""")


def _enter(namespace: dict[str, Any]) -> None:
    """A folder of its own in which every media file that the pages name is there: all are the sample."""
    namespace["_before"] = os.getcwd()  # noqa: PTH109 - what os.chdir goes back to
    namespace["_folder"] = folder = Path(tempfile.mkdtemp(prefix="autorag-whisper-docs-"))
    for page in HERE.rglob("*.md"):
        for name in set(_MEDIA.findall(page.read_text(encoding="utf-8"))):
            shutil.copyfile(SAMPLE, folder / name)
    os.chdir(folder)


def _leave(namespace: dict[str, Any]) -> None:
    os.chdir(namespace["_before"])
    shutil.rmtree(namespace["_folder"])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Examples of a page build on one another: they stay together and in order, whatever shuffled the tests."""
    examples = [item for item in items if isinstance(item, SybilItem)]
    examples.sort(key=lambda item: (item.path, item.example.line))
    items[:] = [item for item in items if not isinstance(item, SybilItem)] + examples


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()], patterns=["**/*.md", "*.md"], setup=_enter, teardown=_leave
).pytest()

"""What the documentation says of the command, the environment and telemetry is what there is."""

from __future__ import annotations

import ast
import re
import shlex
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import autorag_whisper
from autorag_whisper import telemetry
from autorag_whisper.cli import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_CALL = re.compile(r"(?:^|[ =/])autorag-whisper ([^ ].*)$")
_DOTTED = re.compile(r"`([a-z]\w*(?:\.\w+)+)")
_DRAWN = re.compile(r"\s([a-z]\w*(?:\.[a-z]\w*)*\.[A-Z]\w*)")  # in a diagram
_END = re.compile(r" (?:#|\||&&|;|>|>>|2>) ?|>>")


def code_lines(page: Path) -> Iterator[str]:
    """The lines of a page that are code: indented or between fences."""
    fenced = False
    for line in page.read_text(encoding="utf-8").splitlines():
        fenced ^= line.startswith("```")
        if fenced or line.startswith("    "):
            yield line


def calls() -> Iterator[tuple[str, str]]:
    """(page, arguments) of every call of the command that a page shows."""
    for page in PAGES:
        for line in code_lines(page):
            if match := _CALL.search(line):
                yield page.relative_to(ROOT).as_posix(), _END.split(match[1])[0].strip()


CALLS = list(calls())


def parse(command: click.Command, arguments: list[str], name: str, above: click.Context | None = None) -> None:
    """Raises click.UsageError where an option or a subcommand does not exist, or a value is none of the allowed."""
    # A command keeps the help option of the first context that it is asked in: `-h` is that of the one above.
    with command.make_context(name, list(arguments), parent=above) as context:
        if isinstance(command, click.Group):
            rest: list[str] = [*context._protected_args, *context.args]
            found, sub, left = command.resolve_command(context, rest)
            assert sub is not None
            parse(sub, left, str(found), context)


def test_pages_show_calls_of_the_command() -> None:
    assert len(CALLS) > 10


@pytest.mark.parametrize(("page", "line"), CALLS)
def test_every_command_line_of_the_pages_is_one_that_the_command_takes(page: str, line: str) -> None:
    assert page
    parse(cli, shlex.split(line), "autorag-whisper")


def _names() -> set[str]:
    tree = ast.parse(Path(telemetry.__file__).read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign):
            found = {part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)}
            names |= {getattr(telemetry, name) for name in found if name.isupper()}
    return names - {telemetry.TRACER, telemetry.PREFIX}


def test_every_span_metric_and_attribute_stands_on_its_page() -> None:
    page = (ROOT / "docs" / "reference" / "telemetry.md").read_text(encoding="utf-8")
    assert len(_names()) > 30
    assert {name for name in _names() if f"`{name}`" not in page} == set()


def find_spec_of(name: str) -> bool:
    """Whether it is a module, and not a name in one."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_every_public_name_stands_in_the_reference_of_python() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    page += (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: (\S+)$", page, re.MULTILINE))
    modules = [import_module(name) for name in shown if find_spec_of(name)]
    whole = {name for module in modules for name in vars(module)}
    single = {name.rpartition(".")[2] for name in shown}
    assert set(autorag_whisper.__all__) - {"__version__"} - single - whole == set()


def is_there(name: str) -> bool:
    """Whether `package.module`, or an attribute of one, exists in autorag_whisper."""
    module, rest = f"autorag_whisper.{name}", list[str]()
    while not find_spec_of(module):
        module, _, last = module.rpartition(".")
        rest.insert(0, last)
    found: object = import_module(module) if rest else None
    return not rest or all((found := getattr(found, part, None)) is not None for part in rest)


NOT_OURS = {
    *("doc.js", "reading.js", "session.js", "view.js"),
    *("letter_speech.opus", "os.fork", "pyproject.toml", "task.heard", "task.stretches"),
}


def test_every_module_that_the_page_on_architecture_names_is_there() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("### Who owns which lock")
    rest = page[2].partition("\n## ")[2]  # the table of locks names classes, and has a test of its own
    drawn = set(_DRAWN.findall(page[0] + rest))
    named = drawn | set(_DOTTED.findall(page[0] + rest)) - NOT_OURS
    assert len(named) > 100
    assert len(drawn) > 10
    assert {name for name in named if not is_there(name.removeprefix("autorag_whisper."))} == set()
    assert not is_there("recognition.nowhere")
    assert not is_there("recognition.recognise.Nobody")

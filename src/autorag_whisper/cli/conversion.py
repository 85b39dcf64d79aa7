"""The work of `convert`: read, render, and replace nothing but what is ours and as it was written.

Outputs belong to the recording of the JSON where the folder's manifest says that the JSON is one of its outputs; so a
later `transcribe` finds them finished. Else they belong to the JSON itself.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autorag_whisper.archive import manifest
from autorag_whisper.archive.fingerprint import Stamp, layout_digest, sha256_of
from autorag_whisper.archive.inputs import STANDARD_INPUT, is_folder, is_there
from autorag_whisper.archive.manifest import Entry, Manifest, Output, Recording
from autorag_whisper.archive.naming import stem_of
from autorag_whisper.archive.outputs import is_set_aside, set_aside, write_together
from autorag_whisper.archive.ownership import Standing, standing_of
from autorag_whisper.cli.exits import BadUsage, CannotPrint
from autorag_whisper.cli.ledger import Ledger, why
from autorag_whisper.cli.progress import say
from autorag_whisper.domain.media_errors import HOW_TO_FETCH, is_address
from autorag_whisper.domain.transcript_errors import InvalidTranscript
from autorag_whisper.format import FORMATS, parse, render

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.format.options import SubtitleOptions

_STDIN_NAME = "stdin"
_NO_FILE = "?"
_FREE = (Standing.FREE, Standing.OURS)
_ATTEMPTS = 5
"""At files that others change in the millisecond between the look and the writing."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What one `convert` command asks for, checked. `output_dir` None: beside each file, or printed."""

    arguments: tuple[str, ...]
    formats: tuple[str, ...]
    output_dir: Path | None
    printing: bool
    language: str | None
    subtitles: SubtitleOptions
    force: bool
    backup: bool


@dataclass(frozen=True, slots=True)
class _Source:
    """A JSON file that was read, or standard input (no `path`)."""

    shown: str
    path: Path | None
    data: bytes

    @property
    def name(self) -> str:
        return self.path.name if self.path else _STDIN_NAME

    @property
    def base(self) -> str:
        """What its outputs are called after."""
        words = FORMATS["words"].suffix
        return self.name.removesuffix(words) if self.name.endswith(words) else stem_of(self.name)


def do(conversion: Conversion) -> int:
    """Convert every file; the exit code."""
    ledger = Ledger()
    _refuse_if_nothing_is_there(conversion.arguments)
    for argument in _without_poorer(dict.fromkeys(conversion.arguments)):
        try:
            source = _read(argument)
            transcript = parse(source.data, name=source.name, language=conversion.language)
            _deliver(source, transcript, conversion, ledger)
        except InvalidTranscript as error:
            ledger.fail(argument, f"{error.where} {error.reason}; {error.remedy}".lstrip())
        except OSError as error:
            ledger.fail(argument, why(error))
    return ledger.close()


def _refuse_if_nothing_is_there(arguments: Sequence[str]) -> None:
    """As `transcribe` does: a command line that names no file at all is a mistake, not a file that failed."""
    reasons = {argument: _why_missing(argument) for argument in arguments}
    if all(reasons.values()):
        said = "; ".join(f"{argument or repr(argument)}: {reason}" for argument, reason in reasons.items())
        raise BadUsage(f"nothing to convert: {said}", "name results in JSON")


def _why_missing(argument: str) -> str:
    """Why nothing is there that could be read; "" where something is."""
    if argument == STANDARD_INPUT or (is_there(argument) and not is_folder(argument)):
        return ""
    if is_folder(argument):
        return "a folder, of which nothing is taken by itself; a pattern such as FOLDER/*.json names files"
    return HOW_TO_FETCH if is_address(argument) else "no such file"


def _without_poorer(arguments: Iterable[str]) -> list[str]:
    """The files but bare lists of words whose whole result is there as well: both would give the same outputs."""
    words, whole = FORMATS["words"].suffix, FORMATS["json"].suffix
    given = list(arguments)
    richer = {name: name.removesuffix(words) + whole for name in given if name.endswith(words)}
    poorer = {name: better for name, better in richer.items() if better in given}
    for name, better in poorer.items():
        say(f"{name}: left out, {better} says more")
    return [name for name in given if name not in poorer]


def _read(argument: str) -> _Source:
    if argument == STANDARD_INPUT:
        return _Source("standard input", None, sys.stdin.buffer.read())
    path = Path(argument)
    return _Source(argument, path, path.read_bytes())


def _deliver(source: _Source, transcript: Transcript, conversion: Conversion, ledger: Ledger) -> None:
    formats = _without_itself(source, conversion)
    # All are rendered before the first is written: a fault in one format leaves no half of the outputs.
    texts = {form: render(transcript, form, conversion.subtitles).encode() for form in formats}
    if conversion.printing:
        _print(texts[formats[0]])
        ledger.done += 1
        return
    folder = _folder(source, conversion)
    contents = {source.base + FORMATS[form].suffix: data for form, data in texts.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with manifest.alone_in(folder):
            _write(source, folder, contents, conversion, ledger)
    except OSError as error:
        ledger.fail(source.shown, f"its outputs cannot be written: {why(error)}")


def _folder(source: _Source, conversion: Conversion) -> Path:
    if conversion.output_dir is not None:
        return conversion.output_dir
    return source.path.parent if source.path else Path()


def _without_itself(source: _Source, conversion: Conversion) -> tuple[str, ...]:
    """The formats but that of the file itself, which is left out of several."""
    if conversion.printing or source.path is None:
        return conversion.formats
    folder = _folder(source, conversion)
    targets = {form: folder / (source.base + FORMATS[form].suffix) for form in conversion.formats}
    left = tuple(form for form, target in targets.items() if not _is_same(target, source.path))
    if not left:
        raise BadUsage(f"{source.shown} would be its own output", "name another format, or an output folder")
    return left


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _write(
    source: _Source, folder: Path, contents: Mapping[str, bytes], conversion: Conversion, ledger: Ledger
) -> None:
    """Write the outputs by name, in a folder that is locked. What changes meanwhile is looked at once more."""
    copies: list[tuple[str, str]] = []
    for _ in range(_ATTEMPTS):
        known = manifest.read(folder)
        owner = _owner(source, folder, known)
        seen = {folder / name: Stamp.of_name(folder / name) for name in contents}  # before they are looked at
        standings = {name: _standing(folder / name, known, owner) for name in contents}
        kept = {} if conversion.force else {name: who for name, who in standings.items() if who not in _FREE}
        names = [name for name in contents if name not in kept]
        made = _set_aside(folder, [name for name in names if standings[name] not in _FREE], conversion, copies)
        seen |= {folder / name: Stamp.of_name(folder / name) for name, _ in made}  # a second name is a change
        copies += made
        _note(folder, known, owner, {name: contents[name] for name in names}, conversion.subtitles)
        new = frozenset(folder / name for name in names if standings[name] is Standing.FREE)
        try:
            write_together({folder / name: contents[name] for name in names}, new=new, seen=seen)
        except FileExistsError:
            continue
        ledger.done += 1
        if kept:
            ledger.keep(source.shown, ", ".join(f"{name} ({who.value})" for name, who in kept.items()))
        if names:
            aside = [f"the former {name} is now {copy}" for name, copy in copies]
            say("; ".join([f"{source.shown} -> {', '.join(names)}", *aside]))
        return
    ledger.fail(source.shown, "its outputs cannot be written: other programs change them again and again")


def _set_aside(
    folder: Path, names: Sequence[str], conversion: Conversion, before: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Copies of what is replaced though it is not ours, or was changed, and was not copied `before`."""
    if not conversion.backup:
        return []
    known = {name for name, copy in before if is_set_aside(folder / name, folder / copy)}
    return [(name, set_aside(folder / name).name) for name in names if name not in known]


def _owner(source: _Source, folder: Path, known: Manifest) -> Entry:
    """Whose outputs these are: the recording's whose result the JSON is, or else the JSON's own."""
    noted = known.outputs.get(source.name)
    if noted and source.path is not None and _is_same(folder, source.path.parent):
        return noted[0]
    seen = "" if source.path is None else _seen_from(folder, source.path.parent)
    stamp = Stamp.of(source.path) if source.path else Stamp(len(source.data), 0, 0, 0)
    return Entry(Recording(source.name, seen), stamp, hashlib.sha256(source.data).hexdigest(), "", {})


def _standing(path: Path, known: Manifest, owner: Entry) -> Standing:
    noted = known.outputs.get(path.name)
    found = _content(path)
    return standing_of(found, (noted[1], _is_of(noted[0], owner)) if noted else None)


def _is_of(entry: Entry, owner: Entry) -> bool:
    mine, its = owner.recording, entry.recording
    return (mine.name, mine.folder, mine.track) == (its.name, its.folder, its.track) and (
        bool(mine.folder) or entry.sha256 == owner.sha256
    )


def _content(path: Path) -> str | None:
    """The digest of a file's content; None where there is nothing, one that nothing has for what is no file."""
    if not os.path.lexists(path):
        return None
    return sha256_of(path) if path.is_file() and not path.is_symlink() else _NO_FILE


def _note(
    folder: Path, known: Manifest, owner: Entry, contents: Mapping[str, bytes], subtitles: SubtitleOptions
) -> None:
    """Before the files are there: who is killed then has not left a stranger's files to the next run."""
    suffixes = sorted(FORMATS, key=lambda form: len(FORMATS[form].suffix), reverse=True)
    outputs: dict[str, dict[str, Output]] = {}
    for name, data in contents.items():
        form = next(form for form in suffixes if name.endswith(FORMATS[form].suffix))
        older = known.outputs.get(name)
        before = (older[1].sha256, *older[1].before)[:3] if older else ()
        options = _options_of(owner, form, subtitles)
        outputs.setdefault(options, {})[form] = Output(name, hashlib.sha256(data).hexdigest(), before=before)
    noted = known
    for options, made in outputs.items():
        noted = noted.with_entry(replace(owner, options=options, outputs=made))
    if outputs:
        manifest.write(folder, noted, known)


def _options_of(owner: Entry, form: str, subtitles: SubtitleOptions) -> str:
    """The digest of the options with which `transcribe` would write the same: subtitles have the layout in it."""
    words = owner.words or owner.options
    is_usual = not FORMATS[form].is_subtitles or subtitles == type(subtitles)()
    return words if is_usual else layout_digest(words, subtitles)


def _seen_from(folder: Path, other: Path) -> str:
    start, end = os.path.realpath(folder), os.path.realpath(other)
    try:
        return os.path.relpath(end, start)
    except ValueError:  # another drive
        return end


def _print(data: bytes) -> None:
    try:
        click.echo(data, nl=False)
    except BrokenPipeError:  # who read has enough; click ends the command without a word
        raise
    except OSError as error:
        raise CannotPrint(why(error)) from error

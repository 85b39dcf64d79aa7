"""Results in JSON to other formats: read, rendered, and written where nothing is lost by it.

Outputs belong to the recording of the JSON where the folder's manifest says that the JSON is one of its outputs; so a
later batch finds them finished. Else they belong to the JSON itself.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper.archive import manifest
from autorag_whisper.archive.fingerprint import Stamp, layout_digest
from autorag_whisper.archive.inputs import STANDARD_INPUT, Found, Input, is_folder, is_there
from autorag_whisper.archive.manifest import Entry, Manifest, Output, Recording
from autorag_whisper.archive.naming import stem_of
from autorag_whisper.archive.outputs import write_together
from autorag_whisper.archive.ownership import Ownership, content_of, ownership_of, seen_from
from autorag_whisper.archive.writing import ATTEMPTS, Backups, Written, noted_output
from autorag_whisper.domain.archive_errors import NothingFound, OutputIsInput, OutputsUnwritable
from autorag_whisper.domain.media_errors import HOW_TO_FETCH, is_address
from autorag_whisper.files import system_reason
from autorag_whisper.format import FORMATS, render
from autorag_whisper.format.options import SubtitleOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from autorag_whisper.domain.transcript import Transcript

_FREE = (Ownership.FREE, Ownership.OURS)


@dataclass(frozen=True, slots=True)
class ConversionRequest:
    """What is to be made of each result. `output_dir` None: outputs lie beside it.

    `force`: replace what is not ours or was changed; `backup`: keep a copy of that.
    """

    formats: tuple[str, ...]
    output_dir: Path | None = None
    subtitles: SubtitleOptions = field(default_factory=SubtitleOptions)
    force: bool = False
    backup: bool = True


@dataclass(frozen=True, slots=True)
class JsonFile:
    """A file with a result in JSON that was read, or standard input: `data`, its bytes."""

    input: Input
    data: bytes

    @property
    def base(self) -> str:
        """What its outputs are called after."""
        words, name = FORMATS["words"].suffix, self.input.name
        return name.removesuffix(words) if name.endswith(words) else stem_of(name)


def find_results(arguments: Sequence[str]) -> Found:
    """The files to convert: those that are named, each once; folders and patterns are not looked into.

    A bare list of words is left out, with a note, where its whole result is named too: both would give the same
    outputs.

    Raises:
        NothingFound: not one of the arguments is a file.
    """
    reasons = {argument: _why_missing(argument) for argument in arguments}
    if all(reasons.values()):
        said = tuple(f"{argument or repr(argument)}: {reason}" for argument, reason in reasons.items())
        raise NothingFound("convert", said, "name results in JSON")
    words, whole = FORMATS["words"].suffix, FORMATS["json"].suffix
    richer = {name: name.removesuffix(words) + whole for name in reasons if name.endswith(words)}
    poorer = {name: better for name, better in richer.items() if better in reasons}
    left = [name for name in reasons if name not in poorer]
    return Found(
        tuple(Input(None, "standard input") if name == STANDARD_INPUT else Input(Path(name), name) for name in left),
        (),
        tuple(f"{name}: left out, {better} says more" for name, better in poorer.items()),
    )


def _why_missing(argument: str) -> str:
    """Why nothing is there that could be read; "" where something is."""
    if argument == STANDARD_INPUT or (is_there(argument) and not is_folder(argument)):
        return ""
    if is_folder(argument):
        return "a folder, of which nothing is taken by itself; a pattern such as FOLDER/*.json names files"
    return HOW_TO_FETCH if is_address(argument) else "no such file"


def convert(source: JsonFile, transcript: Transcript, request: ConversionRequest) -> Written:
    """Write `transcript`, which was read from `source`, in the formats of `request`.

    Raises:
        OutputIsInput: the only output would be `source` itself; of several formats that one is left out.
    """
    folder = _folder(source, request)
    # All are rendered before the first is written: a fault in one format leaves no half of the outputs.
    contents = {
        source.base + FORMATS[form].suffix: render(transcript, form, request.subtitles).encode()
        for form in _without_itself(source, folder, request)
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with manifest.locked(folder):
            return _write(source, folder, contents, request)
    except OSError as error:
        return Written(error=OutputsUnwritable(source.input.shown, system_reason(error)))


def _folder(source: JsonFile, request: ConversionRequest) -> Path:
    if request.output_dir is not None:
        return request.output_dir
    return source.input.path.parent if source.input.path else Path()


def _without_itself(source: JsonFile, folder: Path, request: ConversionRequest) -> tuple[str, ...]:
    """The formats but that of the file itself, which is left out of several."""
    path = source.input.path
    if path is None:
        return request.formats
    targets = {form: folder / (source.base + FORMATS[form].suffix) for form in request.formats}
    left = tuple(form for form, target in targets.items() if not _is_same(target, path))
    if not left:
        raise OutputIsInput(source.input.shown)
    return left


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _write(source: JsonFile, folder: Path, contents: Mapping[str, bytes], request: ConversionRequest) -> Written:
    """Write the outputs by name, in a folder that is locked. What changes meanwhile is looked at once more."""
    backups = Backups(folder, wanted=request.backup)
    for _ in range(ATTEMPTS):
        known = manifest.read(folder)
        owner = _owner(source, folder, known)
        seen = {folder / name: Stamp.of_name(folder / name) for name in contents}  # before they are looked at
        owned = {name: _ownership(folder / name, known, owner) for name in contents}
        kept = {} if request.force else {name: who for name, who in owned.items() if who not in _FREE}
        names = [name for name in contents if name not in kept]
        seen |= backups.make(name for name in names if owned[name] not in _FREE)
        _note(folder, known, owner, {name: contents[name] for name in names}, request.subtitles)
        new = frozenset(folder / name for name in names if owned[name] is Ownership.FREE)
        try:
            write_together({folder / name: contents[name] for name in names}, new=new, seen=seen)
        except FileExistsError:
            continue
        stood = ", ".join(f"{name} ({who.value})" for name, who in kept.items())
        return Written(tuple(names), tuple(backups.remarks), stood)
    return Written(error=OutputsUnwritable(source.input.shown, "other programs change them again and again"))


def _owner(source: JsonFile, folder: Path, known: Manifest) -> Entry:
    """Whose outputs these are: the recording's whose result the JSON is, or else the JSON's own."""
    path, name = source.input.path, source.input.name
    noted = known.outputs.get(name)
    if noted and path is not None and _is_same(folder, path.parent):
        return noted[0]
    seen = "" if path is None else seen_from(folder, path.parent)
    stamp = Stamp.of(path) if path else Stamp(len(source.data), 0, 0, 0)
    return Entry(Recording(name, seen), stamp, hashlib.sha256(source.data).hexdigest(), "", {})


def _ownership(path: Path, known: Manifest, owner: Entry) -> Ownership:
    noted = known.outputs.get(path.name)
    return ownership_of(content_of(path), (noted[1], _is_of(noted[0], owner)) if noted else None)


def _is_of(entry: Entry, owner: Entry) -> bool:
    mine, its = owner.recording, entry.recording
    return (mine.name, mine.folder, mine.track) == (its.name, its.folder, its.track) and (
        bool(mine.folder) or entry.sha256 == owner.sha256
    )


def _note(
    folder: Path, known: Manifest, owner: Entry, contents: Mapping[str, bytes], subtitles: SubtitleOptions
) -> None:
    """Before the files are there: who is killed then has not left a stranger's files to the next run."""
    suffixes = sorted(FORMATS, key=lambda form: len(FORMATS[form].suffix), reverse=True)
    outputs: dict[str, dict[str, Output]] = {}
    for name, data in contents.items():
        form = next(form for form in suffixes if name.endswith(FORMATS[form].suffix))
        outputs.setdefault(_options_of(owner, form, subtitles), {})[form] = noted_output(known, name, data)
    noted = known
    for options, made in outputs.items():
        noted = noted.with_entry(replace(owner, options=options, outputs=made))
    if outputs:
        manifest.write(folder, noted, known)


def _options_of(owner: Entry, form: str, subtitles: SubtitleOptions) -> str:
    """The digest of the options with which a batch would write the same: subtitles have the layout in it."""
    words = owner.words or owner.options
    is_usual = not FORMATS[form].is_subtitles or subtitles == type(subtitles)()
    return words if is_usual else layout_digest(words, subtitles)

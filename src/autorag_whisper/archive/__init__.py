"""A batch over folders: from what the user names to outputs on the disk, without a word on a terminal.

A caller does this; the command is one such caller:

1. `BatchRequest` says what is made of every file, and where it goes.
2. `Planner(request).find(arguments)` finds the media files, `plan(found)` names their outputs and leaves out what
   earlier runs have finished, `prepare(plan)` makes the output folder and finds out what cannot be written.
3. `open_sources(plan.files, ...)` and `Batch(work, request, ...)` do the work: `sources()` yields one file after the
   other, each reserved, so that two runs over one folder never do the same file twice, and left out where another run
   has finished it meanwhile. Any transcriber makes an outcome of it.
4. `Batch.finish(outcome)` writes all formats of a file together. Only what an earlier run wrote and nobody changed is
   replaced (`archive.ownership`); the folder's manifest (`archive.manifest`) notes it before it is there. `Written`
   says which files there are, which were kept, or why nothing could be written.

`find_results` and `convert` do the same for results in JSON that are to be written in other formats.

Errors are those of `domain.archive_errors`: RequestError where the request makes no sense, UnavailableError where a
disk takes no more. What concerns one file alone is a value in `Found`, `Plan` or `Written`. Nothing here prints; it
logs what went wrong beside the work (a manifest that makes no sense, a cache directory that cannot be written).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.lazy_names import lazy_names

if TYPE_CHECKING:  # the same names as type checkers find them; tests/unit/test_import.py compares the two
    from autorag_whisper.archive.batch import Batch as Batch
    from autorag_whisper.archive.batch import Update as Update
    from autorag_whisper.archive.batch import UpdateKind as UpdateKind
    from autorag_whisper.archive.batch import open_sources as open_sources
    from autorag_whisper.archive.conversion import ConversionRequest as ConversionRequest
    from autorag_whisper.archive.conversion import JsonFile as JsonFile
    from autorag_whisper.archive.conversion import convert as convert
    from autorag_whisper.archive.conversion import find_results as find_results
    from autorag_whisper.archive.inputs import Found as Found
    from autorag_whisper.archive.inputs import Input as Input
    from autorag_whisper.archive.inputs import NotDone as NotDone
    from autorag_whisper.archive.naming import NameParts as NameParts
    from autorag_whisper.archive.naming import PlannedFile as PlannedFile
    from autorag_whisper.archive.planning import FinishedFile as FinishedFile
    from autorag_whisper.archive.planning import Plan as Plan
    from autorag_whisper.archive.planning import Planner as Planner
    from autorag_whisper.archive.request import BatchRequest as BatchRequest
    from autorag_whisper.archive.writing import Written as Written
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "autorag_whisper.archive.batch": ("Batch", "Update", "UpdateKind", "open_sources"),
            "autorag_whisper.archive.conversion": ("ConversionRequest", "JsonFile", "convert", "find_results"),
            "autorag_whisper.archive.inputs": ("Found", "Input", "NotDone"),
            "autorag_whisper.archive.naming": ("NameParts", "PlannedFile"),
            "autorag_whisper.archive.planning": ("FinishedFile", "Plan", "Planner"),
            "autorag_whisper.archive.request": ("BatchRequest",),
            "autorag_whisper.archive.writing": ("Written",),
        },
    )

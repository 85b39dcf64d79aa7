"""A folder that belongs to this user alone."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import GpuDirectoryUnsafe

if TYPE_CHECKING:
    from pathlib import Path


def open_safely(folder: Path) -> None:
    """Make the folder, for this user alone, or see that it is such a one.

    Raises:
        GpuDirectoryUnsafe: it is a link, no folder, someone else's, or open to others, or it cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError as error:
        raise GpuDirectoryUnsafe(str(folder), f"it cannot be made ({error.strerror or error})") from error
    if not stat.S_ISDIR(found.st_mode):
        raise GpuDirectoryUnsafe(str(folder), "it is no folder, or a link to one")
    if found.st_uid != os.getuid():
        raise GpuDirectoryUnsafe(str(folder), "it belongs to another user")
    if found.st_mode & 0o077:
        raise GpuDirectoryUnsafe(str(folder), "other users may look into it or write to it")

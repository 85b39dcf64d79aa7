"""A model's name to a folder of files: given, cached, packaged, or fetched, in this order."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper.domain.cache_errors import CacheUnwritable
from autorag_whisper.domain.errors import ModelDamaged, ModelNotFound, ModelUnavailable
from autorag_whisper.files import sha256_of
from autorag_whisper.models import hub, joining, packaged
from autorag_whisper.models.catalogue import CATALOGUE, NAMES, find
from autorag_whisper.models.check import check_model_folder
from autorag_whisper.models.completion import completed
from autorag_whisper.models.digests import is_noted, write_note
from autorag_whisper.models.layouts import foreign_file, inner_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger(__name__)

_SWITCHED_OFF = "downloads are switched off (AUTORAG_WHISPER_OFFLINE)"
_NOT_ASKED_FOR = "was not to be downloaded here (`autorag-whisper models pull` does that)"


class ModelOrigin(StrEnum):
    """Where a model's files came from."""

    FOLDER = "folder"
    CACHE = "hub cache"
    PACKAGE = "package"
    DOWNLOAD = "download"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A folder that was looked at and holds a whole Whisper model.

    `name` is for people and telemetry: the size or hub id asked for, a given folder's last name, never a path.
    `strict_window`: the model was trained on full 30 s windows alone.
    """

    name: str
    folder: Path
    origin: ModelOrigin
    strict_window: bool = False


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A line of `models list`. `origin` is None for what is not on this machine.

    `folder` is None too for a packaged model that was not joined yet. `problem` says what is wrong with the files.
    """

    name: str
    origin: ModelOrigin | None
    folder: Path | None
    size_bytes: int
    problem: str = ""


def default_cache_dir(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """The user's cache directory for this package, by the habits of the platform."""
    if platform == "win32":
        local = environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "autorag-whisper" / "Cache"
    if platform == "darwin":
        return Path.home() / "Library" / "Caches" / "autorag-whisper"
    given = Path(environ.get("XDG_CACHE_HOME") or "")
    # The XDG specification: a path that is not absolute is to be ignored.
    return (given if given.is_absolute() else Path.home() / ".cache") / "autorag-whisper"


class ModelStore:
    """Every model that this machine has or may fetch. Thread-safe: it keeps nothing but its settings."""

    def __init__(
        self,
        *,
        cache_dir: Path | None = None,
        offline: bool = False,
        show_progress: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`cache_dir` holds joined weights (default: the user's, from `environ`); `offline` forbids any connection.

        `show_progress` lets the hub's client draw a bar on a terminal while it downloads.
        """
        self.cache_dir = (cache_dir or default_cache_dir(environ or {})).absolute()
        self.offline = offline
        self._show_progress = show_progress

    def resolve(self, name: str, *, download: bool = True) -> ModelFiles:
        """Find or fetch a size, a hub id (`owner/name`) or a folder. What is found is whole, or it is not returned.

        A folder wins over a hub id of the same spelling, and over a size only when written as a path (`./base`).

        Raises:
            ModelNotFound: no size, hub id or folder of that name.
            ModelDamaged: it is here, but a file is missing, cut off or wrong, and no sound copy could be had.
            ModelUnavailable: it is not here and may not or could not be fetched.
        """
        known = find(name)
        if known is None and (folder := given_folder(name)) is not None:
            return self._checked(folder.name, folder, ModelOrigin.FOLDER)
        if known is None and (file := _given_file(name)) is not None:
            return self._file(file)
        if known is None and not hub.is_hub_id(name):
            raise ModelNotFound(name[:200], NAMES)
        hub_id = known.hub_id if known else name
        damage: ModelDamaged | None = None
        if (cached := hub.find_cached(hub_id)) is not None:
            try:
                return self._checked(name, cached, ModelOrigin.CACHE)
            except ModelDamaged as error:
                _log.warning("%s", error.problem())
                damage = error
        if known and (folder := self._packaged(known.name)) is not None:
            return self._checked(name, folder, ModelOrigin.PACKAGE)
        if self.offline or not download:
            reason = _SWITCHED_OFF if self.offline else _NOT_ASKED_FOR
            raise damage or ModelUnavailable(name, reason, install=packaged.install_command(name))
        # A file that is missing is fetched anyway; one that is wrong would be kept.
        again = cached is not None and damage is not None and (cached / damage.file).exists()
        _log.info("downloading model %s", name)
        try:
            fetched = hub.download(hub_id, name, again=again, show_progress=self._show_progress)
        except ModelUnavailable as error:
            error.install = packaged.install_command(name)
            raise
        return self._checked(name, fetched, ModelOrigin.DOWNLOAD)

    def _checked(self, name: str, folder: Path, origin: ModelOrigin) -> ModelFiles:
        folder = inner_folder(folder)
        architecture = check_model_folder(folder, name)
        known = find(name)
        strict = architecture.is_distilled or (known is not None and known.strict_window)
        return ModelFiles(name, completed(folder, name, self.cache_dir), origin, strict)

    def _file(self, path: Path) -> ModelFiles:
        """A file in a model's place: `model.bin` means its folder."""
        if path.name == "model.bin":
            return self._checked(path.parent.name, path.parent, ModelOrigin.FOLDER)
        if (found := foreign_file(path)) is not None:
            raise ModelDamaged(path.name, found.file, found.reason, found.how)
        raise ModelDamaged(
            path.name, path.name, "is a file, and a model is a folder with model.bin and its other files"
        )

    def _packaged(self, name: str) -> Path | None:
        """The folder of a packaged model, verified; joined first where it came in pieces."""
        installed = packaged.find_installed(name)
        if installed is None:
            return None
        if not installed.model.is_in_pieces:
            self._verify_in_place(installed)
            return installed.folder
        try:
            return joining.join(installed, self.cache_dir)
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise CacheUnwritable(name, reason, str(self.cache_dir)) from error

    def _verify_in_place(self, installed: packaged.Installed) -> None:
        # One note per place: several environments may share a cache directory.
        key = hashlib.sha256(os.fsencode(installed.folder)).hexdigest()[:12]
        note = self.cache_dir / "verified" / f"{installed.model.name}-{key}.json"
        files = {installed.places[file.parts[0]]: file.sha256 for file in installed.model.files}
        if is_noted(files, note):
            return
        for file in installed.model.files:
            if sha256_of(installed.places[file.parts[0]]) != file.sha256:
                raise packaged.damaged_package(installed.model, file.parts[0], "its SHA-256 is not the pinned one")
        write_note(files, note)

    def status(self) -> tuple[ModelStatus, ...]:
        """Every size, then every other model of the hub's cache: is it here, from where, how large. Hashes nothing."""
        others = dict.fromkeys(hub.cached_ids())
        for known in CATALOGUE.values():
            others.pop(known.hub_id, None)
        sizes = tuple(self._status(known.name, known.hub_id, known.approximate_bytes) for known in CATALOGUE.values())
        return sizes + tuple(self._status(hub_id, hub_id, 0) for hub_id in others)

    def _status(self, name: str, hub_id: str, approximate_bytes: int) -> ModelStatus:
        if (cached := hub.find_cached(hub_id)) is not None:
            return _looked_at(name, ModelOrigin.CACHE, cached)
        try:
            installed = packaged.find_installed(name)
        except ModelDamaged as error:
            return ModelStatus(name, ModelOrigin.PACKAGE, None, 0, f"{error.file} {error.reason}")
        if installed is None:
            return ModelStatus(name, None, None, approximate_bytes)
        if not installed.model.is_in_pieces:
            return _looked_at(name, ModelOrigin.PACKAGE, installed.folder)
        place = joining.joined_place(installed, self.cache_dir)
        if not place.is_dir():
            return ModelStatus(name, ModelOrigin.PACKAGE, None, installed.model.size_bytes)
        return _looked_at(name, ModelOrigin.PACKAGE, place)


def _looked_at(name: str, origin: ModelOrigin, folder: Path) -> ModelStatus:
    problem = ""
    try:
        check_model_folder(folder, name)
    except ModelDamaged as error:
        problem = f"{error.file} {error.reason}"
    size_bytes = sum(file.stat().st_size for file in folder.glob("*") if file.is_file())
    return ModelStatus(name, origin, folder, size_bytes, problem)


def _given_file(name: str) -> Path | None:
    try:
        path = Path(name).expanduser()
        return path.resolve() if name.strip() and "\0" not in name and path.is_file() else None
    except (OSError, RuntimeError):
        return None


def given_folder(name: str) -> Path | None:
    """The folder that a name points at, None where it is no folder. A `~` is the user's home, as in a shell."""
    if not name.strip() or "\0" in name:
        return None
    try:
        folder = Path(name).expanduser()
        # Resolved, so that a model is known by one folder however it was spelt.
        return folder.resolve() if folder.is_dir() else None
    except (OSError, RuntimeError):  # a name too long for the system; no home folder
        return None

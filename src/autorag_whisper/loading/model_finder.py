"""Model names to their files on the disk, each looked up once."""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

from autorag_whisper.device.placement import shown
from autorag_whisper.domain.errors import ModelNotFound
from autorag_whisper.models.catalogue import NAMES

if TYPE_CHECKING:
    from autorag_whisper.domain.device import ModelKey
    from autorag_whisper.models.store import ModelFiles, ModelStore


class ModelFinder:
    """Names to files, each looked up once. Thread-safe."""

    def __init__(self, store: ModelStore) -> None:
        self._resolve = cache(store.resolve)
        self._lock = Lock()
        self._by_folder: dict[str, ModelFiles] = {}

    def find(self, name: str) -> ModelFiles:
        """The files of a size, hub id or folder. Raises the Model* errors."""
        if not isinstance(name, str):
            raise ModelNotFound(shown(name), NAMES)
        files = self._resolve(name)
        with self._lock:
            self._by_folder[str(files.folder)] = files
        return files

    def of(self, key: ModelKey) -> ModelFiles:
        """The files that `find` gave for this key's folder."""
        with self._lock:
            return self._by_folder[key.model]

"""The smaller decoder that aligns what is spelled, loaded beside the model that it belongs to."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.models.small_vocabulary import SmallVocabulary

_log = logging.getLogger(__name__)


class Speller:
    """The smaller decoder, and the ids of its tokens. It loads while the first chunk is recognised, which needs it not.

    Thread-safe.
    """

    def __init__(self, files: SmallVocabulary, load: Callable[[], Any]) -> None:
        self.files = files
        pool = ThreadPoolExecutor(1, thread_name_prefix="autorag-whisper-load")
        self._model = pool.submit(load)
        pool.shutdown(wait=False)
        self._said = False

    def model(self) -> Any | None:
        """The model once it is loaded, None where it could not be: the other one can do its work."""
        try:
            return self._model.result()
        except Exception as error:  # noqa: BLE001 - whatever it was: only time is lost
            if not self._said:
                self._said = True
                _log.warning("letters are aligned with the whole vocabulary: %s", type(error).__name__)
            return None

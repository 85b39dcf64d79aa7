"""The smaller decoder that aligns what is spelled, loaded beside the model that it belongs to."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SmallVocabulary:
    """A folder that spells, and its token ids: the first `kept` are the model's, those from `end` on follow them."""

    folder: Path
    kept: int
    end: int

    def knows(self, token_ids: Sequence[int]) -> bool:
        """Whether these text tokens are among those that were kept."""
        return max(token_ids, default=0) < self.kept

    def special(self, token_id: int) -> int:
        """The id of one of the model's tokens that are not text."""
        return token_id - self.end + self.kept


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

"""whisperX's alignment of words by wav2vec2 (extra `[whisperx]`).

What its behaviour demands of this adapter (whisperX 3.8):

- A text that it cannot place has no words in what it returns, and a sentence without a start is dropped from it: its
  answers are matched with the words that were asked for, by their letters.
- It hands a model samples as they are, also where the checkpoint says that it was trained on normalised ones: they are
  normalised here.
- Its search lets a letter last one frame, with blanks to the next: models that were trained with CTC's own loss do so.
- It splits a text into sentences with data of nltk that it would download. Only the words are asked for here, so a
  splitter that splits nothing is put in its place.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from autorag_whisper.align.word_time import WordTime
from autorag_whisper.domain.audio import seconds
from autorag_whisper.domain.device import FailureCause
from autorag_whisper.domain.errors import DeviceError, EngineError, ExtraNotInstalled
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.engines.ctc_checkpoint import WEIGHTS, CtcCheckpoint, read_checkpoint
from autorag_whisper.engines.cuda_failures import classify
from autorag_whisper.engines.in_flight import Engine, failures, first_line
from autorag_whisper.engines.onednn import keep_no_primitives
from autorag_whisper.engines.torch_module import TorchModule, torch_name
from autorag_whisper.engines.whisperx import RUNTIME

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.domain.device import Device

_log = logging.getLogger(__name__)

_WRITTEN_WITHOUT_SPACES = ("ja", "zh")
"""Languages whose text it takes letter by letter."""


def load(language: str, folder: Path, name: str, device: Device) -> WhisperXAligner:
    """Load a checkpoint of a language.

    Raises ExtraNotInstalled, ModelDamaged, VocabularyUnusable, DeviceError.
    """
    alignment = _alignment()
    keep_no_primitives()
    checkpoint = read_checkpoint(folder, name)
    import torch

    if device.is_cuda and not torch.cuda.is_available():
        raise DeviceError(str(device), FailureCause.DRIVER, "load: PyTorch finds no CUDA device")
    engine = Engine(RUNTIME, name, WEIGHTS, device)
    with failures(engine, "load"):
        # On the CPU first: it reports what goes wrong on a card as a file that it cannot find.
        model, metadata = alignment.load_align_model(language, "cpu", model_name=str(folder), model_cache_only=True)
        return WhisperXAligner(model.eval().to(torch_name(device)), metadata, checkpoint, engine)


class WhisperXAligner(TorchModule):
    """A `WordAligner` over one model of `whisperx.load_align_model`."""

    def __init__(self, model: Any, metadata: dict[str, Any], checkpoint: CtcCheckpoint, engine: Engine) -> None:
        super().__init__(model, engine)
        self._metadata, self._checkpoint = metadata, checkpoint

    def align_words(self, clip: Samples, words: Sequence[str]) -> list[WordTime | None]:
        language = str(self._metadata["language"])
        text = ("" if language in _WRITTEN_WITHOUT_SPACES else " ").join(words)
        sound, place = self._checkpoint.prepare(clip), torch_name(self._engine.device)
        segment = {"start": 0.0, "end": seconds(len(clip)), "text": text}
        with self.calls.call("align"):
            if not self.is_on_device:
                raise EngineError(RUNTIME, "align", "the model was offloaded")
            try:
                found = _alignment().align([segment], self.module, self._metadata, sound, place)
            except MemoryError:
                raise
            except Exception as error:
                if self._engine.device.is_cuda and classify(first_line(error)) is not None:
                    raise  # `calls` names it
                # It documents none of its errors; one text's trouble must not be the next one's.
                _log.info("whisperX could not align a text: %s: %s", type(error).__name__, first_line(error))
                return [None] * len(words)
        return matched(words, found["word_segments"])


def matched(words: Sequence[str], found: Iterable[dict[str, Any]]) -> list[WordTime | None]:
    """For each of `words` what whisperX says of it, None where it says nothing.

    `found`: its `word_segments`, which may lack words and times. What has no score it has made up from its neighbours.
    """
    text = "".join("".join(word.split()) for word in words)
    at, times = 0, list[tuple[int, int, WordTime]]()
    for one in found:
        letters = "".join(str(one["word"]).split())
        start = text.find(letters, at)
        if start < 0 or not letters:
            continue
        at = start + len(letters)
        begin_s, end_s, score = (float(one.get(name, math.nan)) for name in ("start", "end", "score"))
        time = WordTime(begin_s, end_s, WordSource.CTC, score)
        if time.is_sound and math.isfinite(score):
            times.append((start, at, time))
    return [_time_of(first, last, times) for first, last in _places(words)]


def _places(words: Sequence[str]) -> list[tuple[int, int]]:
    """Where each word's letters are among all of them."""
    places, at = [], 0
    for word in words:
        length = len("".join(word.split()))
        places.append((at, at + length))
        at += length
    return places


def _time_of(first: int, last: int, times: Sequence[tuple[int, int, WordTime]]) -> WordTime | None:
    own = [time for start, stop, time in times if start < last and stop > first]
    if not own:
        return None
    score = sum(time.score or 0.0 for time in own) / len(own)
    return WordTime(min(time.start_s for time in own), max(time.end_s for time in own), WordSource.CTC, score)


class _Unsplit:
    """A sentence splitter that leaves a text whole."""

    @staticmethod
    def span_tokenize(text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


def _alignment() -> Any:
    try:
        import whisperx.alignment
    except ImportError as error:
        raise ExtraNotInstalled("whisperX", "whisperx", str(error)) from error
    whisperx.alignment.nltk_load = lambda _name: _Unsplit
    return whisperx.alignment

"""The words of chunks, timed by a CTC model: emissions, spelling, best path, seconds."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from autorag_whisper.align.ctc import align_words, word_edges
from autorag_whisper.align.gaps import filled
from autorag_whisper.align.spelling import spell
from autorag_whisper.align.word_time import WordTime
from autorag_whisper.domain.alignment_errors import AlignmentError
from autorag_whisper.domain.audio import seconds
from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.engines.aligners import WordAligner
from autorag_whisper.recognition.aligner_fallback import goes_down, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from autorag_whisper.domain.audio import Samples, SpeechChunk
    from autorag_whisper.domain.device import Device
    from autorag_whisper.engines.aligners import AlignmentModel, CtcEmitter, Emissions

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChunkText:
    """A chunk's samples and the written words that are said in it, in its language."""

    samples: Samples
    words: tuple[str, ...]
    language: str


def align_words_by_ctc(model: AlignmentModel, chunks: Sequence[ChunkText]) -> list[list[WordTime] | AlignmentError]:
    """For each chunk the times of all its words in it, in order; or why it cannot be timed this way.

    A word that is not heard (a dash) has the moment at which the word before it ends, and score 0; one that the model
    does not place is interpolated.
    Raises what the model raises.
    """
    if isinstance(model, WordAligner):
        return [_placed(model, chunk) for chunk in chunks]
    return _by_emissions(model, chunks)


def _placed(aligner: WordAligner, chunk: ChunkText) -> list[WordTime] | AlignmentError:
    """The times that an aligner of its own gives, those that it lacks from the words around them."""
    times = aligner.align_words(chunk.samples, chunk.words)
    if not any(times):
        return AlignmentError("the aligner placed none of its words")
    return filled(times, [len(word) for word in chunk.words], seconds(len(chunk.samples)))


def _by_emissions(emitter: CtcEmitter, chunks: Sequence[ChunkText]) -> list[list[WordTime] | AlignmentError]:
    found: list[list[WordTime] | AlignmentError] = []
    for chunk, emissions in zip(chunks, emitter.emit([chunk.samples for chunk in chunks]), strict=True):
        try:
            found.append(_times(emitter, chunk, emissions))
        except AlignmentError as error:
            found.append(error)
    return found


def _times(emitter: CtcEmitter, chunk: ChunkText, emissions: Emissions) -> list[WordTime]:
    vocabulary = emitter.spec.vocabulary
    spelled = spell(chunk.words, chunk.language, vocabulary)
    spoken = align_words(emissions.log_probs, spelled.labels, blank=vocabulary.blank, separator=vocabulary.separator)
    edges = word_edges(spoken)
    times: list[WordTime] = []
    last_s = seconds(len(chunk.samples))
    for n in range(len(chunk.words)):
        own = [k for k, owner in enumerate(spelled.owners) if owner == n]
        heard = [k for k in own if spelled.labels[k]] or own[:1]
        start_s, end_s = (
            min(max(0.0, emissions.edge_s(edge)), last_s) for edge in (edges[heard[0], 0], edges[heard[-1], 1])
        )
        times.append(WordTime(start_s, end_s, WordSource.CTC, sum(spoken[k].score for k in heard) / len(heard)))
    return times


class HeldLeases:
    """A run's leases of alignment models: one of each is kept to the end of the run, so that a card moves it once.

    `lease(language, device)` is `residency.alignment_models`'s. Thread-safe; `close` comes when nobody aligns any more.
    """

    def __init__(self, lease: Callable[[str, Device], AbstractContextManager[AlignmentModel]]) -> None:
        self._lease = lease
        self._lock = Lock()
        self._kept: dict[tuple[str, Device], ExitStack] = {}
        self._aligners: dict[Device, CtcAligner] = {}

    def aligner(self, device: Device) -> CtcAligner:
        """The aligner on `device`; the same one every time, which remembers what cannot be had."""
        with self._lock:
            made = CtcAligner(lambda language: self._hold(language, device), device)
            return self._aligners.setdefault(device, made)

    @contextmanager
    def _hold(self, language: str, device: Device) -> Iterator[AlignmentModel]:
        """A lease of its own for the length of a `with`; the first that ends well is kept until `close`.

        So a model in use is leased by whoever uses it, also when another thread's error gives the kept lease back.
        """
        with ExitStack() as own:
            emitter = own.enter_context(self._lease(language, device))
            try:
                yield emitter
            except BaseException as error:
                with self._lock:
                    kept = self._kept.pop((language, device), None)
                if kept is not None:
                    kept.__exit__(type(error), error, error.__traceback__)
                raise
            with self._lock:
                if (language, device) not in self._kept:
                    self._kept[language, device] = own.pop_all()

    def close(self) -> None:
        """Give every lease back. Again is fine. What is raised at that is logged: the words are there already."""
        with self._lock:
            kept, self._kept = self._kept, {}
        for (language, device), lease in kept.items():
            try:
                lease.close()
            except Exception as error:  # noqa: BLE001 - the law of `aligner_fallback`
                _log.warning("the %s alignment model was given back on %s, but: %s", language, device, told(error))


class CtcAligner:
    """Times words under leases of the models that it needs; what cannot be timed so is answered by why. Thread-safe.

    `lease(language)` lends the model. A language whose model cannot be had is not asked for again: another download, or
    another load that fails, would be tried for every chunk.
    """

    def __init__(self, lease: Callable[[str], AbstractContextManager[AlignmentModel]], device: Device) -> None:
        self._lease, self._device = lease, device
        self._lock = Lock()
        self._gates: dict[str, Lock] = {}
        self._refused: dict[str, Exception] = {}

    def times(
        self, language: str, spoken: Sequence[tuple[SpeechChunk, Sequence[str]]]
    ) -> list[list[WordTime] | Exception]:
        """For each (chunk, its words) of one language when they are heard, on the file's timeline, or why not.

        Raises Cancelled, and DeviceError for a card; the aligner fallback goes on from any other error.
        """
        with self._lock:
            gate = self._gates.setdefault(language, Lock())
        try:
            with self._noted(language), ExitStack() as lease:
                with gate, self._noted(language):  # before the gate opens: who comes second hears it
                    if (refused := self._refused.get(language)) is not None:
                        return [refused] * len(spoken)
                    emitter = lease.enter_context(self._lease(language))
                return list(times_by_ctc(emitter, language, spoken))
        except Exception as error:
            if not goes_down(error, self._device):
                raise
            return [error] * len(spoken)

    @contextmanager
    def _noted(self, language: str) -> Iterator[None]:
        """Whatever ends it, but for a card and the user, is the language's refusal, warned of once."""
        try:
            yield
        except Exception as error:
            if not goes_down(error, self._device):
                raise
            with self._lock:
                is_first = language not in self._refused
                self._refused.setdefault(language, error)
            if is_first:
                how = f". {error.remedy}" if isinstance(error, AutoragWhisperError) else ""
                _log.warning("no alignment by CTC in %s: %s%s", language, told(error), how)
            raise


def times_by_ctc(
    model: AlignmentModel, language: str, spoken: Sequence[tuple[SpeechChunk, Sequence[str]]]
) -> list[list[WordTime] | AlignmentError]:
    """For each (chunk, its words) when they are heard, on the file's timeline; or why it cannot be timed this way.

    Raises what the model raises.
    """
    found = align_words_by_ctc(model, [ChunkText(chunk.samples, tuple(words), language) for chunk, words in spoken])
    return [
        times if isinstance(times, AlignmentError) else [time.later(chunk.start_s) for time in times]
        for (chunk, _), times in zip(spoken, found, strict=True)
    ]

"""whisperX's recognition (extra `[whisperx]`): its pipeline decodes, and what it asks of its engine is listened to.

What its behaviour demands of this adapter (whisperX 3.8):

- Its pipeline keeps tokenizer and options of the last call in itself: one call at a time.
- Of a decoded text it gives the words and a mean log-probability, not the tokens, nor whether that was speech at all.
  So the CTranslate2 model that it calls is handed to it behind `_Listener`, which keeps both, and the encoder output,
  with which the words can be timed where its aligner fails.
- Its own voice activity reads a file whole. Here it is given the chunks instead, as voice activity that somebody else
  did, which it provides for (`vad_model`).
- It reads media by the program `ffmpeg`, unless it is handed samples, as here.

On a card none of this was ever run.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import asdict, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.domain.errors import AutoragWhisperError, EngineError, ExtraNotInstalled
from autorag_whisper.engines.base import DECODING_OPTIONS, Encoded, Hypothesis
from autorag_whisper.engines.ctranslate2 import CTranslate2Whisper, describe, prepare, prove, sampler
from autorag_whisper.engines.in_flight import Engine, failures, first_line
from autorag_whisper.engines.results import hypothesis
from autorag_whisper.engines.tokenizer import WhisperTokenizer, read_tokenizer
from autorag_whisper.fork_safety import kept_in_forks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.domain.request import Search
    from autorag_whisper.engines.base import WhisperSpec, Wording
    from autorag_whisper.engines.ctranslate2 import LoadRequest, Sampler

RUNTIME = "whisperx"
_BATCH = 8
"""Clips at a time: the default of its own command."""
_MAX_TOKENS = 448
_OPTIONS = frozenset(DECODING_OPTIONS) - {"prefix", "max_new_tokens"}


def load(request: LoadRequest) -> WhisperXPipeline:
    """Load a model. Raises ExtraNotInstalled, else as `engines.ctranslate2.load` does."""
    asr = _whisperx()
    prepare(request.device, request.workers)
    tokens = read_tokenizer(request.folder)
    with failures(Engine(RUNTIME, request.name, "model.bin", request.device), "load"):
        model = asr.WhisperModel(
            str(request.folder),
            device=str(request.device.kind),
            device_index=request.device.index,
            compute_type=request.compute_type,
            cpu_threads=request.workers,
            local_files_only=True,
        )
    runtime = kept_in_forks(model.model)
    tokenizer = WhisperTokenizer(request.folder, tokens, multilingual=bool(runtime.is_multilingual))
    # Its pipeline fills every clip up to 30 s.
    spec = describe(replace(request, strict_window=True), runtime, tokenizer, workers=1, batch_size=_BATCH)
    spec = replace(spec, redoes=False, hears_borders=False, options=_OPTIONS)
    recognizer = WhisperXPipeline(model, spec, tokenizer, sampler(request))
    prove(recognizer)
    return recognizer


class WhisperXPipeline(CTranslate2Whisper):
    """A `WhisperPipeline`: whisperX decodes, all else is done on the CTranslate2 model that it runs on."""

    def __init__(self, model: Any, spec: WhisperSpec, tokenizer: WhisperTokenizer, sampler: Sampler) -> None:
        """`model`: a `whisperx.asr.WhisperModel`."""
        super().__init__(model.model, spec, tokenizer, sampler)
        model.model = self._heard = _Listener(model.model)
        self._given = _given_voice()
        self._pipeline = _whisperx().FasterWhisperPipeline(
            model=model,
            vad=self._given,
            vad_params={"vad_onset": 0.5, "vad_offset": 0.363},  # asked for, and of no effect on what is given
            options=_options(multilingual=spec.multilingual),
        )
        self._turn = Lock()

    def recognise(self, clips: Sequence[Samples], wording: Wording) -> tuple[Encoded, list[Hypothesis]]:
        with self._turn, self._calls.call("generate"), _its_errors():
            pipeline = self._pipeline
            pipeline.options = replace(
                pipeline.options,
                beam_size=wording.beam_size,
                initial_prompt=wording.previous or None,
                hotwords=wording.hotwords or None,
                **_search(wording.search),
            )
            self._given.spans = _spans(clips)
            try:
                sound = np.concatenate(clips).astype(np.float32)
                pipeline.transcribe(sound, batch_size=len(clips), language=wording.language, task=wording.task)
                encoded, results = self._heard.take()
            finally:
                self._given.spans = []
        if len(results) != len(clips):
            raise EngineError(RUNTIME, "generate", f"it decoded {len(results)} texts of {len(clips)} clips")
        return Encoded(len(clips), encoded), [
            hypothesis(result, _MAX_TOKENS, self._tokenizer.end, wording.search.length_penalty).whole(self._tokenizer)
            for result in results
        ]


class _Listener:
    """A `ctranslate2.models.Whisper` that keeps what it was last asked to decode, and what came of it."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._last: tuple[Any, list[Any]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, encoded: Any, prompts: list[list[int]], **options: Any) -> list[Any]:
        results = self._model.generate(encoded, prompts, return_no_speech_prob=True, **options)
        self._last = encoded, results
        return list(results)

    def take(self) -> tuple[Any, list[Any]]:
        """(encoder output, results) of the last call, which are then forgotten: they hold memory of the device."""
        last, self._last = self._last, None
        if last is None:
            raise EngineError(RUNTIME, "generate", "it decoded nothing")
        return last


def _spans(clips: Sequence[Samples]) -> list[dict[str, float]]:
    """The clips as its voice activity gives them: seconds from the start of all of them, one after the other."""
    edges = np.cumsum([0, *(len(clip) for clip in clips)])
    # It cuts at `int(seconds * rate)`: half a sample on, so that rounding cannot reach the one before.
    moments = [(int(edge) + 0.5) / SAMPLE_RATE_HZ for edge in edges]
    return [{"start": start, "end": end} for start, end in itertools.pairwise(moments)]


def _given_voice() -> Any:
    from whisperx.vads import Vad

    class Given(Vad):  # type: ignore[misc]  # whisperX ships no types
        """Voice activity that somebody else did."""

        def __init__(self) -> None:
            super().__init__(0.5)
            self.spans: list[dict[str, float]] = []

        def __call__(self, *_args: object, **_options: object) -> list[dict[str, float]]:
            return self.spans

        @staticmethod
        def preprocess_audio(audio: Any) -> Any:
            return audio

        @staticmethod
        def merge_chunks(segments: Any, *_args: object, **_options: object) -> Any:
            return segments

    return Given()


def _search(search: Search) -> dict[str, Any]:
    """Its options of these names."""
    return asdict(search) | {"suppress_tokens": list(search.suppress_tokens)}


def _options(*, multilingual: bool) -> Any:
    """What `whisperx.load_model` decodes with if it is told nothing."""
    return _whisperx().TranscriptionOptions(
        beam_size=5,
        best_of=5,
        patience=1,
        length_penalty=1,
        repetition_penalty=1,
        no_repeat_ngram_size=0,
        temperatures=[0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        compression_ratio_threshold=2.4,
        log_prob_threshold=-1.0,
        no_speech_threshold=0.6,
        condition_on_previous_text=False,
        prompt_reset_on_temperature=0.5,
        initial_prompt=None,
        prefix=None,
        suppress_blank=True,
        suppress_tokens=[-1],
        without_timestamps=True,
        max_initial_timestamp=0.0,
        word_timestamps=False,
        prepend_punctuations="\"'“¿([{-",
        append_punctuations="\"'.。,，!！?？:：”)]}、",  # noqa: RUF001 - marks as they are written
        multilingual=multilingual,
        max_new_tokens=None,
        clip_timestamps=None,
        hallucination_silence_threshold=None,
        hotwords=None,
    )


@contextmanager
def _its_errors() -> Iterator[None]:
    """whisperX documents none of the errors that it raises: whatever it is, it is an engine's."""
    try:
        yield
    except (RuntimeError, ValueError, MemoryError, AutoragWhisperError):  # these are named by `in_flight`, or have been
        raise
    except Exception as error:
        raise RuntimeError(f"{type(error).__name__}: {first_line(error)}") from error


def _whisperx() -> Any:
    # All of PyAV first: another thread of a run that begins imports it too, and two that import parts of it in another
    # order see it half imported ("cannot import name InvalidDataError").
    import autorag_whisper.audio.decode  # noqa: F401 - for what it imports

    try:
        import whisperx.asr
    except ImportError as error:
        raise ExtraNotInstalled("whisperX", "whisperx", str(error)) from error
    return whisperx.asr

"""Whisper on CTranslate2: the default engine, no PyTorch.

What its behaviour demands of this adapter (CTranslate2 4.8):

- `unload_model` does nothing, silently, while a batch counts as active, and `encode` takes no lock against it:
  `engines.in_flight` counts calls and repeats it.
- `generate` and `align` with an empty list end the process: refused here.
- `max_length` is halved for Whisper, and all of the prompt but its last token counts in one of its two limits.
- A worker thread seeds its random generator once, when it first samples: a seed takes effect in new threads alone, and
  only a newly loaded model has those. So what samples is a second copy of the model, for the length of that call, if
  there is room for it.
- CUDA's libraries are opened at the first matrix product, not at load: one inference is run in the load.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from autorag_whisper.domain.device import Hardware
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.engines.base import Encoded, WhisperSpec
from autorag_whisper.engines.cuda_libraries import preload
from autorag_whisper.engines.in_flight import Engine, InFlight, failures, first_line, unload
from autorag_whisper.engines.native_threads import require_threads
from autorag_whisper.engines.onednn import keep_no_primitives
from autorag_whisper.engines.results import hypothesis, token_times
from autorag_whisper.engines.rows_at_once import rows_at_once
from autorag_whisper.engines.speller import SmallVocabulary, Speller
from autorag_whisper.engines.tokenizer import WhisperTokenizer, read_tokenizer
from autorag_whisper.fork_safety import at_work, kept_in_forks
from autorag_whisper.models import model_bin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from autorag_whisper.align.letters import LetterClassifier
    from autorag_whisper.domain.device import Device
    from autorag_whisper.domain.notes import Note
    from autorag_whisper.engines.base import CharacterHeads, Decoding, Hypothesis, TokenTimes

_ENGINE = "ctranslate2"
_CONTEXT = 448
_CPU_BATCH, _CUDA_BATCH = 2, 16
"""Rows of the full window at a time; on a CPU each row of 30 s takes 40 MB for the keys and values of its audio."""


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What to load: `name` is for people, `workers` are CPU threads, one engine worker each (CUDA has one worker).

    `characters`: the alignment heads that the folder's `config.json` names, if they were chosen for single letters.
    `letters`: what hears letters in the output of this model's encoder.
    `speller`: a smaller decoder of this model that aligns what is spelled.
    """

    folder: Path
    name: str
    device: Device
    compute_type: str
    workers: int
    strict_window: bool
    characters: CharacterHeads | None = None
    letters: LetterClassifier | None = None
    speller: SmallVocabulary | None = None
    room: Callable[[], AbstractContextManager[None]] = nullcontext
    """Around a second copy that is loaded for one call: raises DeviceError where the device's budget has no room."""
    notes: tuple[Note, ...] = ()
    """What results of this engine are to say, as another one was wanted."""


def probe_hardware() -> Hardware:
    """What CTranslate2 itself says of this machine. A broken CUDA is none, with the reason."""
    import ctranslate2

    cpu = frozenset(ctranslate2.get_supported_compute_types("cpu"))
    try:
        count = int(ctranslate2.get_cuda_device_count())
        types = frozenset(ctranslate2.get_supported_compute_types("cuda")) if count else frozenset()
    except (RuntimeError, ValueError) as error:
        return Hardware(0, frozenset(), cpu, first_line(error))
    return Hardware(count, types, cpu, "" if count else "CTranslate2 finds no CUDA device")


def load(request: LoadRequest) -> CTranslate2Whisper:
    """Load a model and prove that it computes.

    Raises DeviceError where the device fails at it, ModelDamaged where the files are at fault, else EngineError.
    """
    prepare(request.device, request.workers)
    workers = 1 if request.device.is_cuda else request.workers
    with ThreadPoolExecutor(1) as pool:  # the runtime and the tokenizer read without Python's lock
        read = pool.submit(read_tokenizer, request.folder)
        model = _whisper(request, request.folder, workers)
    tokenizer = WhisperTokenizer(request.folder, read.result(), multilingual=bool(model.is_multilingual))
    with (request.folder / "model.bin").open("rb") as file:
        tokenizer.require_vocabulary(request.name, model_bin.read(file).vocabulary)
    batch_size = _CUDA_BATCH if request.device.is_cuda else _CPU_BATCH
    spec = describe(request, model, tokenizer, workers=workers, batch_size=batch_size)
    recognizer = CTranslate2Whisper(model, spec, tokenizer, sampler(request), _speller(request, workers))
    prove(recognizer)
    return recognizer


def describe(
    request: LoadRequest, model: Any, tokenizer: WhisperTokenizer, *, workers: int, batch_size: int
) -> WhisperSpec:
    """What was loaded: `model` is a `ctranslate2.models.Whisper`."""
    return WhisperSpec(
        model=request.name,
        device=request.device,
        compute_type=str(model.compute_type),
        n_mels=int(model.n_mels),
        strict_window=request.strict_window,
        workers=workers,
        batch_size=batch_size,
        languages=tokenizer.languages if model.is_multilingual else frozenset({"en"}),
        translates=bool(model.is_multilingual),
        characters=request.characters,
        letters=request.letters,
        spells_below=request.speller.kept if request.speller else None,
        vocabulary=tokenizer.size,
        notes=request.notes,
    )


def prepare(device: Device, workers: int) -> None:
    """Before a load: what the runtime is told once in a process, its threads, and the libraries of a card.

    Raises DeviceError, and EngineError where the system has no threads for it.
    """
    keep_no_primitives()
    require_threads(1 if device.is_cuda else workers, _ENGINE)
    if device.is_cuda:
        preload(device)


def prove(recognizer: CTranslate2Whisper) -> None:
    """After a load on a card: have it compute, as its libraries are opened then. Raises DeviceError."""
    if recognizer.spec.device.is_cuda:
        recognizer.encode(np.zeros((1, recognizer.spec.n_mels, 1000), np.float32))


def sampler(request: LoadRequest) -> Sampler:
    """What samples for the model of `request`."""
    return Sampler(lambda: _whisper(request, request.folder, 1), request.room)


def _whisper(request: LoadRequest, folder: Path, workers: int) -> Any:
    import ctranslate2

    with at_work(waits=False), failures(_engine(request.name, request.device), "load"):
        model = ctranslate2.models.Whisper(
            str(folder),
            device=str(request.device.kind),
            device_index=request.device.index,
            compute_type=request.compute_type,
            inter_threads=workers,
            intra_threads=1,
            max_queued_batches=-1,
        )
    return kept_in_forks(model)


def _speller(request: LoadRequest, workers: int) -> Speller | None:
    small = request.speller
    return Speller(small, lambda: _whisper(request, small.folder, workers)) if small is not None else None


class Sampler:
    """Samples with a seed, on a copy of the model that is loaded for one call (base, int8: 0.07 s and 110 MB).

    Thread-safe: one call at a time, as the runtime has one seed for the whole process.
    """

    _seeding = Lock()

    def __init__(self, load: Callable[[], Any], room: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._load, self._room = load, room

    def generate(self, seed: int, *arguments: Any, **options: Any) -> Any:
        """`ctranslate2.models.Whisper.generate` with the samples that belong to `seed`."""
        import ctranslate2

        with self._seeding, self._room():
            ctranslate2.set_random_seed(seed)
            model = self._load()
            try:
                return model.generate(*arguments, **options)
            finally:
                unload(model, _ENGINE)


class CTranslate2Whisper:
    """A `WhisperModel` over one `ctranslate2.models.Whisper`, and a smaller one that aligns what is spelled."""

    def __init__(
        self,
        model: Any,
        spec: WhisperSpec,
        tokenizer: WhisperTokenizer,
        sampler: Sampler,
        speller: Speller | None = None,
    ) -> None:
        self._model, self._spec, self._tokenizer = model, spec, tokenizer
        self._sampler, self._speller = sampler, speller
        self._calls = InFlight(_engine(spec.model, spec.device))

    @property
    def spec(self) -> WhisperSpec:
        return self._spec

    @property
    def tokenizer(self) -> WhisperTokenizer:
        return self._tokenizer

    def encode(self, features: NDArray[np.float32] | Sequence[NDArray[np.float32]]) -> Encoded:
        windows = np.asarray(features, np.float32)
        with self._calls.call("encode"):
            if self._spec.device.is_cuda:
                return Encoded(len(windows), self._model.encode(_view(windows)))
            # Row by row: a CPU encodes no faster in batches, and the attention over one row of 30 s takes 72 MB.
            rows = [np.asarray(self._model.encode(_view(windows[n : n + 1]))) for n in range(len(windows))]
            return Encoded(len(windows), _view(np.concatenate(rows)) if len(rows) > 1 else _view(rows[0].copy()))

    def select(self, encoded: Encoded, rows: Sequence[int]) -> Encoded:
        if list(rows) == list(range(encoded.rows)):
            return encoded
        with self._calls.call("select"):
            return Encoded(len(rows), _view(self._array(encoded)[list(rows)]))

    def excerpts(self, encoded: Encoded, places: Sequence[tuple[int, int]], frames: int, step: int) -> Encoded:
        with self._calls.call("excerpts"):
            array = self._array(encoded)
            return Encoded(len(places), _view(np.stack([array[row, n : n + frames : step] for row, n in places])))

    def _array(self, encoded: Encoded) -> NDArray[np.float32]:
        return np.asarray(_on_host(encoded.value) if self._spec.device.is_cuda else encoded.value)

    def as_arrays(self, encoded: Encoded) -> Sequence[NDArray[np.float32]]:
        with self._calls.call("as_arrays"):
            array = self._array(encoded).astype(np.float32, copy=False)
        array.flags.writeable = False
        return list(array)

    def detect_languages(self, encoded: Encoded) -> list[dict[str, float]]:
        if not self._spec.multilingual:
            return [{"en": 1.0}] * encoded.rows
        with self._calls.call("detect_language"):
            found = self._model.detect_language(encoded.value)
        return [{token[2:-2]: probability for token, probability in row} for row in found]

    def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
        _require(len(prompts) == encoded.rows > 0, "a prompt for every row")
        prompt_length, search, prefix = len(prompts[0]), decoding.search, decoding.prefix
        # What the engine calls a length has the prefix in it.
        cap = min(decoding.max_new_tokens + len(prefix), _CONTEXT - prompt_length)
        sampling = decoding.temperature > 0
        # Of beams the engine keeps the logits of every hypothesis; `align` tells their probabilities for less. It does
        # too where penalties are in the logits or a prefix is in the text.
        greedy = not sampling and decoding.beam_size == 1 and search.leaves_probabilities and not prefix
        beam_size = 1 if sampling else decoding.beam_size
        count, results = encoded.rows, list[Any]()
        size = rows_at_once(count, decoding.beam_size, self._spec.device)
        with self._calls.call("generate"):
            at_once = partial(
                partial(self._sampler.generate, decoding.seed) if sampling else self._model.generate,
                beam_size=beam_size,
                patience=max(search.patience, 1 / beam_size),
                num_hypotheses=decoding.beam_size if sampling else 1,
                sampling_topk=0 if sampling else 1,
                sampling_temperature=decoding.temperature if sampling else 1.0,
                max_length=max(2 * cap, cap + prompt_length - 1),
                return_scores=True,
                return_logits_vocab=greedy,
                return_no_speech_prob=True,
                suppress_blank=search.suppress_blank,
                suppress_tokens=list(search.suppress_tokens),
                length_penalty=search.length_penalty,
                repetition_penalty=search.repetition_penalty,
                no_repeat_ngram_size=search.no_repeat_ngram_size,
            )
            for n in range(0, count, size):
                view = encoded.value if size == count else _view(self._array(encoded)[n : n + size])
                results += at_once(view, [[*prompt, *prefix] for prompt in prompts[n : n + size]])
        end = self._tokenizer.end
        told = [hypothesis(result, cap, end, search.length_penalty, len(prefix)) for result in results]
        return [one.whole(self._tokenizer) for one in told]

    def align(
        self,
        encoded: Encoded,
        start_sequence: Sequence[int],
        token_ids: Sequence[Sequence[int]],
        frames: Sequence[int],
        *,
        spelled: bool = False,
    ) -> list[TokenTimes]:
        _require(len(token_ids) == len(frames) == encoded.rows > 0, "tokens and frames for every row")
        _require(all(1 <= len(tokens) <= 445 for tokens in token_ids), "1 to 445 tokens a row")
        count, heads = encoded.rows, self._spec.characters
        median_filter = heads.median_filter if spelled and heads else 7
        # Row by row on a CPU: for every token of a batch the engine holds a value for each of its 51,865 others.
        size = count if self._spec.device.is_cuda else 1
        results: list[Any] = []
        with self._calls.call("align"):
            for n in range(0, count, size):
                view = encoded.value if size == count else _view(np.asarray(encoded.value)[n : n + size])
                texts = [list(tokens) for tokens in token_ids[n : n + size]]
                model, start = self._aligner(start_sequence, texts, spelled=spelled)
                results += model.align(
                    view, start, texts, list(frames[n : n + size]), median_filter_width=median_filter
                )
        return [token_times(result, len(tokens)) for result, tokens in zip(results, token_ids, strict=True)]

    def _aligner(
        self, start_sequence: Sequence[int], texts: list[list[int]], *, spelled: bool
    ) -> tuple[Any, list[int]]:
        """Who aligns these texts, and the start sequence in its ids: the smaller decoder if it knows every token."""
        speller = self._speller
        if speller is None or not spelled or not all(speller.files.knows(tokens) for tokens in texts):
            return self._model, list(start_sequence)
        model = speller.model()
        if model is None:
            return self._model, list(start_sequence)
        return model, [speller.files.special(token) for token in start_sequence]

    def offload(self) -> bool:
        with self._calls.alone("offload"):
            if not self._spec.device.is_cuda or self._calls.away:
                return False
            unload(self._model, _ENGINE, to_cpu=True)
            self._calls.away = True
        return True

    def restore(self) -> bool:
        with self._calls.alone("restore"):
            if not self._calls.away:
                return False
            # The copy in the CPU's memory is kept: the first offload writes it, the later ones find it there.
            self._model.load_model(keep_cache=True)
            self._calls.away = False
        return True

    def close(self) -> None:
        self._calls.close()
        unload(self._model, _ENGINE)
        small = self._speller.model() if self._speller is not None else None
        if small is not None:
            unload(small, _ENGINE)


def _engine(model: str, device: Device) -> Engine:
    return Engine(_ENGINE, model, "model.bin", device)


def _view(array: NDArray[np.float32]) -> Any:
    """A StorageView of `array`, which keeps it alive."""
    import ctranslate2

    return ctranslate2.StorageView.from_array(np.ascontiguousarray(array))


def _on_host(view: Any) -> Any:
    """A card's StorageView in the host's memory, of float32: NumPy knows no bfloat16."""
    import ctranslate2

    return view.to_device(ctranslate2.Device.cpu).to(ctranslate2.DataType.float32)


def _require(good: bool, what: str) -> None:
    if not good:
        raise EngineError(_ENGINE, "arguments", f"needs {what}")

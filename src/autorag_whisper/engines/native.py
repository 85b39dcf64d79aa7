"""Whisper on the package's own library for CPUs (`native/`): the same steps as CTranslate2's, in 8 bits.

What it does otherwise than `engines.ctranslate2`:

- It computes in the caller's thread and has none of its own: so many callers at a time as it has workers, the others
  wait. A call ends in the midst of a step where its `engines.interruption` is set.
- Keys and values of a window are made when the decoder first needs them, and stay as long as the encoder output does.
- Beam search tells the probability of each token too, so that nothing has to be aligned for that.
- What is sampled needs no second copy of the model: its random numbers belong to the call.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.domain.errors import EngineError, ModelDamaged
from autorag_whisper.engines.base import WINDOW_FRAMES, Encoded, Hypothesis, TokenTimes, WhisperSpec
from autorag_whisper.engines.in_flight import Engine, InFlight, failures
from autorag_whisper.engines.native_letters import NativeLetters
from autorag_whisper.engines.native_library import NativeUnavailableError, native_library
from autorag_whisper.engines.native_model import Attention, NativeModel, NativeSearch, SpecialTokens
from autorag_whisper.engines.native_threads import require_threads
from autorag_whisper.engines.native_weights import CONTEXT, UnsupportedWeightsError, read_weights, require_computed
from autorag_whisper.engines.tokenizer import WhisperTokenizer, read_tokenizer
from autorag_whisper.fork_safety import at_work, kept_in_forks
from autorag_whisper.models.byte_vocabulary import END, is_multilingual
from autorag_whisper.models.model_bin import BrokenFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from autorag_whisper.engines.base import Decoding
    from autorag_whisper.engines.ctranslate2 import LoadRequest
    from autorag_whisper.engines.native_library import NativeLibrary
    from autorag_whisper.engines.native_model import NativeAudio, NativeTexts
    from autorag_whisper.engines.native_weights import Tensor, WhisperShape, WhisperWeights

RUNTIME = "native"
COMPUTE_TYPE, COMPUTE_TYPES = "int8_float32", frozenset({"int8", "int8_float32"})
"""What it computes, and the names that mean it: 8-bit products, everything else in floats."""
_BATCH = 8
_MOST_SEARCH_BYTES = 256 << 20
"""What the caches of one search may take in the worst case; a batch that would take more is searched in parts."""
_USUAL_MEDIAN = 7


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """What a model's `config.json` says of its tokens and heads."""

    suppressed: tuple[int, ...]
    suppressed_first: tuple[int, ...]
    heads: tuple[tuple[int, int], ...]


def load(request: LoadRequest, instruction_set: str = "", library: NativeLibrary | None = None) -> NativeWhisper:
    """Load a model for the CPU.

    Raises EngineError where there is no library or the processor lacks the instruction set, where the weights are of a
    network that it does not compute, and where the system has no threads for the workers; ModelDamaged where the files
    are at fault; MemoryError.
    """
    engine = Engine(RUNTIME, request.name, "model.bin", request.device)
    if request.compute_type not in COMPUTE_TYPES or request.device.is_cuda:
        wanted = f"{request.compute_type} on {request.device}"
        raise EngineError(RUNTIME, "load", f"it computes {COMPUTE_TYPE} on a CPU, not {wanted}")
    require_threads(request.workers, RUNTIME)
    try:
        library = library or native_library()
    except NativeUnavailableError as error:
        raise EngineError(RUNTIME, "load", str(error)) from error
    if library.instruction_set(instruction_set) is None:
        raise EngineError(RUNTIME, "load", f"this processor or this build has no {instruction_set or 'kernels'}")
    config = read_config(request.folder, request.name)
    read = read_tokenizer(request.folder)
    shape, tensors = _weights(request)
    multilingual = is_multilingual(read.token_to_id(END) or 0)
    tokenizer = WhisperTokenizer(request.folder, read, multilingual=multilingual)
    tokenizer.require_vocabulary(request.name, shape.vocabulary)
    _require_heads(request.name, shape, config)
    with at_work(waits=False), failures(engine, "load"):
        special = SpecialTokens(*tokenizer.special_tokens)
        model = NativeModel(library, tensors, special, instruction_set)
        letters = None if request.letters is None else NativeLetters(request.letters, library, instruction_set)
    spec = replace(_describe(request, shape, tokenizer, multilingual=multilingual), letters=letters)
    return NativeWhisper(kept_in_forks(model), spec, tokenizer, config)


def read_config(folder: Path, name: str) -> DecoderConfig:
    """Raises ModelDamaged where the file is not what Whisper's is."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
        return DecoderConfig(
            _ids(config.get("suppress_ids")),
            _ids(config.get("suppress_ids_begin")),
            tuple((int(layer), int(head)) for layer, head in config.get("alignment_heads") or ()),
        )
    except OSError as error:
        raise ModelDamaged(name, "config.json", f"cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelDamaged(name, "config.json", "does not say which tokens and heads it has") from error


def _require_heads(name: str, shape: WhisperShape, config: DecoderConfig) -> None:
    """See that the configuration is of this model. Raises ModelDamaged."""
    if any(not (0 <= layer < shape.decoder_layers and 0 <= head < shape.heads) for layer, head in config.heads):
        sizes = f"{shape.decoder_layers} layers of {shape.heads} heads"
        raise ModelDamaged(name, "config.json", f"is of another model: it names alignment heads beyond {sizes}")


def _ids(found: object) -> tuple[int, ...]:
    if not isinstance(found, list | None):
        raise TypeError
    return tuple(int(one) for one in found or ())


def _weights(request: LoadRequest) -> tuple[WhisperShape, dict[str, Tensor]]:
    """The sizes, and the arrays that the library asks for: its projection is the embeddings, here under one name.

    Raises ModelDamaged, EngineError.
    """
    try:
        weights = read_weights(request.folder / "model.bin")
        require_computed(weights.shape)
        return weights.shape, _given(weights)
    except BrokenFileError as error:
        raise ModelDamaged(request.name, "model.bin", str(error)) from error
    except UnsupportedWeightsError as error:
        raise EngineError(RUNTIME, "load", f"model {request.name!r} {error}") from error
    except OSError as error:
        raise ModelDamaged(request.name, "model.bin", f"cannot be read ({error.strerror or error})") from error


def _given(weights: WhisperWeights) -> dict[str, Tensor]:
    tensors = dict(weights.tensors)
    if not tensors.pop("decoder/projection/weight").equals(tensors["decoder/embeddings/weight"]):
        raise UnsupportedWeightsError("has another projection to its vocabulary than its embeddings")
    return tensors


def _describe(
    request: LoadRequest, shape: WhisperShape, tokenizer: WhisperTokenizer, *, multilingual: bool
) -> WhisperSpec:
    return WhisperSpec(
        model=request.name,
        device=request.device,
        compute_type=COMPUTE_TYPE,
        n_mels=shape.mels,
        strict_window=request.strict_window,
        mixes_windows=True,
        workers=request.workers,
        batch_size=_BATCH,
        languages=tokenizer.languages if multilingual else frozenset({"en"}),
        translates=multilingual,
        characters=request.characters,
        vocabulary=tokenizer.size,
        notes=request.notes,
    )


class _Row:
    """A window's encoder output, float32[frames, width], and what the decoder attends to once it is wanted."""

    __slots__ = ("audio", "output")

    def __init__(self, output: NDArray[np.float32]) -> None:
        self.output = output
        self.audio: NativeAudio | None = None

    def heard(self, model: NativeModel) -> NativeAudio:
        if self.audio is None:
            self.audio = model.audio(self.output)
        return self.audio


class NativeWhisper:
    """A `WhisperModel` over one `NativeModel`."""

    def __init__(
        self, model: NativeModel, spec: WhisperSpec, tokenizer: WhisperTokenizer, config: DecoderConfig
    ) -> None:
        self._model, self._spec, self._tokenizer, self._config = model, spec, tokenizer, config
        self._calls = InFlight(Engine(RUNTIME, spec.model, "model.bin", spec.device))
        self._workers = BoundedSemaphore(spec.workers)
        self._languages = {code: tokenizer.language_token(code) for code in sorted(spec.languages)}

    @property
    def spec(self) -> WhisperSpec:
        return self._spec

    @property
    def tokenizer(self) -> WhisperTokenizer:
        return self._tokenizer

    @property
    def memory_bytes(self) -> int:
        """What the library holds for it now, by its own account; 0 once it was closed."""
        return self._model.bytes

    @property
    def instruction_set(self) -> str:
        """Of the processor's, the one that it computes with."""
        return self._model.instruction_set

    @contextmanager
    def _call(self, stage: str) -> Iterator[None]:
        with self._workers, self._calls.call(stage):
            yield

    def encode(self, features: NDArray[np.float32] | Sequence[NDArray[np.float32]]) -> Encoded:
        mels, lengths = self._spec.n_mels, [window.shape[-1] for window in features]
        _require(bool(lengths) and all(one.ndim == 2 and len(one) == mels for one in features), "windows of mels")
        _require(all(n % 2 == 0 < n <= WINDOW_FRAMES for n in lengths), "an even number of mel frames, 3000 at most")
        with self._call("encode"):
            return _encoded([_Row(self._model.encode(window)) for window in features])

    def select(self, encoded: Encoded, rows: Sequence[int]) -> Encoded:
        if list(rows) == list(range(encoded.rows)):
            return encoded
        return _encoded([_rows(encoded)[n] for n in rows])

    def excerpts(self, encoded: Encoded, places: Sequence[tuple[int, int]], frames: int, step: int) -> Encoded:
        with self._call("excerpts"):
            outputs = [_rows(encoded)[row].output[n : n + frames : step] for row, n in places]
            return _encoded([_Row(np.ascontiguousarray(output)) for output in outputs])

    def as_arrays(self, encoded: Encoded) -> Sequence[NDArray[np.float32]]:
        with self._call("as_arrays"):
            outputs = [row.output.view() for row in _rows(encoded)]
        for output in outputs:
            output.flags.writeable = False
        return outputs

    def detect_languages(self, encoded: Encoded) -> list[dict[str, float]]:
        if not self._spec.multilingual:
            return [{"en": 1.0}] * encoded.rows
        with self._call("detect_language"):
            heard = [row.heard(self._model) for row in _rows(encoded)]
            found = self._model.first_token_probabilities(heard, list(self._languages.values()))
        return [dict(zip(self._languages, row.tolist(), strict=True)) for row in np.nan_to_num(found)]

    def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
        _require(len(prompts) == encoded.rows > 0, "a prompt for every row")
        longest, prefix = max(map(len, prompts)), decoding.prefix
        cap = min(decoding.max_new_tokens + len(prefix), CONTEXT - longest)
        _require(cap > len(prefix), "room for a token behind the prompt")
        search = self._search(decoding, cap)
        size = self._rows_at_once(encoded.rows, search, longest + len(prefix))
        found: list[Hypothesis] = []
        with self._call("generate"):
            for n in range(0, encoded.rows, size):
                heard = [row.heard(self._model) for row in _rows(encoded)[n : n + size]]
                texts = self._model.generate(heard, [[*one, *prefix] for one in prompts[n : n + size]], search)
                found += [_hypothesis(texts, row, decoding) for row in range(len(heard))]
        return [one.whole(self._tokenizer) for one in found]

    def _search(self, decoding: Decoding, cap: int) -> NativeSearch:
        wanted, known = decoding.search.suppress_tokens, self._config
        suppressed = {token for token in wanted if token >= 0} | set(known.suppressed if -1 in wanted else ())
        return NativeSearch(
            hypotheses=decoding.beam_size,
            temperature=decoding.temperature,
            seed=decoding.seed,
            max_new_tokens=cap,
            search=decoding.search,
            suppressed=tuple(sorted(suppressed)),
            suppressed_first=known.suppressed_first if decoding.search.suppress_blank else (),
        )

    def _rows_at_once(self, rows: int, search: NativeSearch, prompt: int) -> int:
        """As many as the memory bound has room for, one at least."""
        while rows > 1 and self._bytes(rows, search, prompt) > _MOST_SEARCH_BYTES:
            rows = -(-rows // 2)
        return rows

    def _bytes(self, rows: int, search: NativeSearch, prompt: int) -> int:
        with self._calls.call("generate"):
            return self._model.generate_bytes(rows, search.hypotheses, prompt, search.max_new_tokens)

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
        most = CONTEXT - 2 - len(start_sequence)
        _require(all(1 <= len(tokens) <= most for tokens in token_ids), f"1 to {most} tokens a row")
        chosen = self._spec.characters if spelled else None
        median = chosen.median_filter if chosen else _USUAL_MEDIAN
        found = []
        with self._call("align"):
            for row, tokens, length in zip(_rows(encoded), token_ids, frames, strict=True):
                looked_at = min(max(1, length // 2), len(row.output))
                attention = Attention(self._config.heads, looked_at, median)
                starts, probabilities = self._model.align(row.heard(self._model), start_sequence, tokens, attention)
                told = np.clip(np.nan_to_num(probabilities, nan=0.0), 0.0, 1.0)
                found.append(TokenTimes(np.maximum.accumulate(starts.astype(np.int64)), told))
        return found

    def offload(self) -> bool:
        with self._calls.alone("offload"):
            return False

    def restore(self) -> bool:
        with self._calls.alone("restore"):
            return False

    def close(self) -> None:
        self._calls.close()
        self._model.close()


def _encoded(rows: list[_Row]) -> Encoded:
    return Encoded(len(rows), rows)


def _rows(encoded: Encoded) -> list[_Row]:
    rows: list[_Row] = encoded.value
    return rows


def _hypothesis(texts: NativeTexts, row: int, decoding: Decoding) -> Hypothesis:
    tokens, prefix, search = texts.tokens[row], decoding.prefix, decoding.search
    # The score is the sum divided by a power of the length without the end token, which the sum has.
    total = texts.scores[row] * max(1, len(tokens)) ** search.length_penalty
    mean = total / (max(0, len(tokens) - len(prefix)) + 1)
    tells = search.leaves_probabilities and not prefix and not decoding.temperature
    no_speech = texts.no_speech[row]
    return Hypothesis(
        token_ids=tokens,
        avg_logprob=mean if np.isfinite(mean) else -100.0,
        no_speech_prob=min(1.0, max(0.0, no_speech)) if np.isfinite(no_speech) else 0.0,
        cap_hit=not texts.finished[row],
        probabilities=tuple(one if 0 <= one <= 1 else 0.0 for one in texts.probabilities[row]) if tells else None,
    )


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise EngineError(RUNTIME, "call", f"needs {what}")

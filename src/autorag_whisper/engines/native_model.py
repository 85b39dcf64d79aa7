"""A network and what it heard in the native library's memory, as Python objects that free it when they go.

A model frees its audios first, as these must not outlive it.
"""

from __future__ import annotations

import ctypes as c
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from autorag_whisper.engines.interruption import current
from autorag_whisper.engines.native_library import (
    CSearch,
    CShape,
    CTensor,
    CTexts,
    CTokens,
    Held,
    NativeCallError,
    Pointer,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from autorag_whisper.domain.request import Search
    from autorag_whisper.engines.native_library import NativeLibrary
    from autorag_whisper.engines.native_weights import Tensor

_TYPES = {"float32": 0, "int8": 1, "float16": 4, "uint16": 5}
"""Of arrays, as the library numbers them; uint16 has the bits of bfloat16."""


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Token ids that searches and alignments need."""

    start_of_transcript: int
    end_of_text: int
    no_speech: int
    no_timestamps: int


@dataclass(frozen=True, slots=True)
class NativeSearch:
    """How texts are searched for; `max_new_tokens` has a prefix in it. Above temperature 0 the best of so many samples.

    `suppressed`: never written; `suppressed_first`: never the first that is written.
    """

    hypotheses: int
    temperature: float
    seed: int
    max_new_tokens: int
    search: Search
    suppressed: tuple[int, ...]
    suppressed_first: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class NativeTexts:
    """What was written in each row, the end of text left out: a row an item.

    `scores`: sum of log-probabilities over length, as `engines.ctranslate2` has it. `probabilities`: of each token
    among the text tokens, 0 for any other. `finished`: the end of text was written.
    """

    tokens: list[tuple[int, ...]]
    scores: list[float]
    finished: list[bool]
    no_speech: list[float]
    probabilities: list[tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Attention:
    """Which heads (layer, head) align, over how many encoder frames, smoothed over how many (odd)."""

    heads: tuple[tuple[int, int], ...]
    frames: int
    median_filter: int


class NativeModel:
    """A network in memory, packed for this processor. Thread-safe but for `close`, under which no call may be."""

    def __init__(
        self, library: NativeLibrary, tensors: Mapping[str, Tensor], special: SpecialTokens, instruction_set: str = ""
    ) -> None:
        """Raises NativeCallError for tensors or an instruction set that the library refuses, MemoryError."""
        self._library = library
        self._audios: WeakSet[NativeAudio] = WeakSet()
        table, _arrays = c_tensors(tensors)
        tokens = CTokens(special.start_of_transcript, special.end_of_text, special.no_speech, special.no_timestamps)
        wanted, made = instruction_set.encode() or None, Pointer()
        library.call("awc_model_new", table, len(table), c.byref(tokens), wanted, c.byref(made))
        self._held = Held(library, "awc_model_free", made)
        shape = CShape()
        library.tell("awc_model_shape", made, c.byref(shape))
        self._mels, self._width, self._vocabulary = int(shape.mels), int(shape.width), int(shape.vocabulary)

    @property
    def handle(self) -> Any:
        """For the library's functions. Raises NativeCallError where the model was closed."""
        return self._held.value

    @property
    def instruction_set(self) -> str:
        return str(self._library.tell("awc_model_instruction_set", self.handle).decode())

    @property
    def bytes(self) -> int:
        """What it holds now, work space for the next calls included; 0 once it was closed."""
        return int(self._library.tell("awc_model_bytes", self.handle)) if self._held else 0

    def generate_bytes(self, rows: int, hypotheses: int, prompt: int, new_tokens: int) -> int:
        """The most that such a search takes besides its audios."""
        return int(self._library.tell("awc_generate_bytes", self.handle, rows, hypotheses, prompt, new_tokens))

    def trim(self) -> None:
        """Give work space back to the system."""
        self._library.tell("awc_model_trim", self.handle)

    def close(self) -> None:
        """Free it, and what was made with it. Again is fine."""
        for audio in list(self._audios):
            audio.close()
        self._held.free()

    def __del__(self) -> None:
        if hasattr(self, "_held"):  # else the library refused it
            self.close()

    def encode(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """One window, float32[mels, frames], as float32[frames / 2, width]."""
        mel = np.ascontiguousarray(mel, np.float32)
        _require(mel.ndim == 2 and len(mel) == self._mels, f"a window of {self._mels} mel bands")
        output = np.empty((mel.shape[1] // 2, self._width), np.float32)
        self._library.call(
            "awc_encode", self.handle, mel.ctypes.data, mel.shape[1], current().address, output.ctypes.data
        )
        return output

    def audio(self, encoded: NDArray[np.float32]) -> NativeAudio:
        """What the decoder attends to, of one window's encoder output, float32[frames, width]."""
        encoded = np.ascontiguousarray(encoded, np.float32)
        _require(encoded.ndim == 2 and encoded.shape[1] == self._width, f"frames that are {self._width} wide")
        made = Pointer()
        self._library.call(
            "awc_audio_new", self.handle, encoded.ctypes.data, len(encoded), current().address, c.byref(made)
        )
        audio = NativeAudio(self._library, made)
        self._audios.add(audio)
        return audio

    def first_token_probabilities(self, audios: Sequence[NativeAudio], tokens: Sequence[int]) -> NDArray[np.float32]:
        """float32[rows, tokens]: of each of `tokens`, among each other, straight after the start of transcript."""
        wanted = np.asarray(tokens, np.int32)
        found = np.empty((len(audios), len(wanted)), np.float32)
        self._library.call(
            "awc_first_token_probabilities",
            self.handle,
            _handles(audios),
            len(audios),
            wanted.ctypes.data,
            len(wanted),
            current().address,
            found.ctypes.data,
        )
        return found

    def generate(
        self, audios: Sequence[NativeAudio], prompts: Sequence[Sequence[int]], search: NativeSearch
    ) -> NativeTexts:
        """Decode rows at once, each with its prompt; a prefix stands at the prompt's end."""
        rows, capacity = len(audios), max(0, search.max_new_tokens)
        _require(len(prompts) == rows, "a prompt for every audio")
        lengths = np.array([len(prompt) for prompt in prompts], np.int32)
        given = np.array([token for prompt in prompts for token in prompt], np.int32)
        ids, shown = np.zeros((rows, capacity), np.int32), np.zeros((rows, capacity), np.float32)
        counts, finished = np.zeros(rows, np.int32), np.zeros(rows, np.int32)
        scores, no_speech = np.zeros(rows, np.float32), np.zeros(rows, np.float32)
        c_search, _arrays = _c_search(search)
        texts = CTexts(
            capacity=capacity,
            tokens=ids.ctypes.data,
            lengths=counts.ctypes.data,
            scores=scores.ctypes.data,
            finished=finished.ctypes.data,
            no_speech=no_speech.ctypes.data,
            text_probabilities=shown.ctypes.data,
        )
        self._library.call(
            "awc_generate",
            self.handle,
            _handles(audios),
            rows,
            given.ctypes.data,
            lengths.ctypes.data,
            c.byref(c_search),
            current().address,
            c.byref(texts),
        )
        return NativeTexts(
            tokens=[tuple(row[:count].tolist()) for row, count in zip(ids, counts, strict=True)],
            scores=scores.tolist(),
            finished=[bool(one) for one in finished],
            no_speech=no_speech.tolist(),
            probabilities=[tuple(row[:count].tolist()) for row, count in zip(shown, counts, strict=True)],
        )

    def align(
        self, audio: NativeAudio, start: Sequence[int], text: Sequence[int], attention: Attention
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """First encoder frame of each token and the text's end, int32[tokens + 1]; probabilities, float32[tokens]."""
        before, said = np.asarray(start, np.int32), np.asarray(text, np.int32)
        heads = np.ascontiguousarray(attention.heads, np.int32)
        starts, probabilities = np.zeros(len(said) + 1, np.int32), np.zeros(len(said), np.float32)
        self._library.call(
            "awc_align",
            self.handle,
            audio.handle,
            before.ctypes.data,
            len(before),
            said.ctypes.data,
            len(said),
            attention.frames,
            heads.ctypes.data,
            len(heads),
            attention.median_filter,
            current().address,
            starts.ctypes.data,
            probabilities.ctypes.data,
        )
        return starts, probabilities

    def forced_logits(self, audio: NativeAudio, tokens: Sequence[int]) -> NDArray[np.float32]:
        """float32[tokens, vocabulary]: the logits after each of these tokens."""
        given = np.asarray(tokens, np.int32)
        found = np.empty((len(given), self._vocabulary), np.float32)
        self._library.call(
            "awc_forced_logits",
            self.handle,
            audio.handle,
            given.ctypes.data,
            len(given),
            current().address,
            found.ctypes.data,
        )
        return found


class NativeAudio:
    """Keys and values of one window, in the library's memory until nobody has it any more."""

    def __init__(self, library: NativeLibrary, handle: Any) -> None:
        self._held = Held(library, "awc_audio_free", handle)

    @property
    def handle(self) -> Any:
        """For the library's functions. Raises NativeCallError where it was freed, with its model."""
        return self._held.value

    def close(self) -> None:
        """Free it. Again is fine."""
        self._held.free()

    def __del__(self) -> None:
        self.close()


def _require(good: bool, what: str) -> None:
    """See that an array has the size that the library takes it to have, as it is given the address alone."""
    if not good:
        raise NativeCallError(f"needs {what}")


def _handles(audios: Sequence[NativeAudio]) -> Any:
    return (Pointer * len(audios))(*[audio.handle for audio in audios])


def c_tensors(tensors: Mapping[str, Tensor]) -> tuple[Any, list[NDArray[np.generic]]]:
    """The table, and the arrays that must live as long as it is read."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, tensor in tensors.items():
        arrays[name] = np.ascontiguousarray(tensor.data)
        if tensor.scales is not None:
            arrays[f"{name}_scale"] = np.ascontiguousarray(tensor.scales)
    rows = [
        CTensor(
            name.encode(),
            _TYPES[array.dtype.name],
            array.ndim,
            (c.c_int64 * 4)(*array.shape),
            array.ctypes.data,
            array.nbytes,
        )
        for name, array in arrays.items()
    ]
    return (CTensor * len(rows))(*rows), list(arrays.values())


def _c_search(search: NativeSearch) -> tuple[CSearch, list[NDArray[np.int32]]]:
    never, never_first = np.array(search.suppressed, np.int32), np.array(search.suppressed_first, np.int32)
    wanted = search.search
    made = CSearch(
        hypotheses=search.hypotheses,
        temperature=search.temperature,
        seed=search.seed,
        patience=wanted.patience,
        length_penalty=wanted.length_penalty,
        repetition_penalty=wanted.repetition_penalty,
        no_repeat_ngram=wanted.no_repeat_ngram_size,
        max_new_tokens=search.max_new_tokens,
        suppressed=never.ctypes.data,
        suppressed_count=len(never),
        suppressed_first=never_first.ctypes.data,
        suppressed_first_count=len(never_first),
    )
    return made, [never, never_first]

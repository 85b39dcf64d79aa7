"""A border between two chunks heard again: a few seconds across it, with the left side's words given.

```
left chunk  ...... of the Netherlands by a similar process |          | produced the block books, ...   right chunk
window               [3 s, these words are the prefix      |  pause   |  2 s]
decoded                                                     ", produced the"          four tokens at most
```
What was said before the window is its prompt. So the decoder knows what comes before the border and hears what comes
behind it, which neither chunk did. Only marks and case are taken from it, and only where its first word is the one that
the right chunk has (`borders.joint_heard`). `recognition.sentence_ends` asks the same of places inside a chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechChunk, seconds
from autorag_whisper.domain.request import Quality, Task
from autorag_whisper.domain.transcript import join_words
from autorag_whisper.engines.base import WINDOW_FRAMES, Decoding
from autorag_whisper.recognition.borders import without_marks
from autorag_whisper.recognition.windows import features_of

if TYPE_CHECKING:
    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import Word
    from autorag_whisper.engines.base import RecognizerSpec, WhisperModel
    from autorag_whisper.recognition.chunk_result import ChunkResult

BEFORE_S, BEHIND_S = 3.0, 2.0
BORDER_FRAMES = 600
"""Mel frames of the window. Shorter than any in which a text is searched for: here hardly anything is."""
_SAMPLES = BORDER_FRAMES * SAMPLE_RATE_HZ // 100
_LEAD = SAMPLE_RATE_HZ // 20
"""Samples before the first word, whose time is not exact."""
_NEW_TOKENS = 4
_PROMPT_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Border:
    """Two chunks that follow each other, both with words; `language` is what is spoken on both sides."""

    left: ChunkResult
    right: ChunkResult
    language: str

    @property
    def file(self) -> int:
        """The file of the run that they are of."""
        return self.right.task.file


def hears_borders(spec: RecognizerSpec, options: TranscribeOptions) -> bool:
    """Whether borders that nothing else decides are heard again.

    Only by an engine that can, and not where `fast` was asked for, nor of a translation, whose words are in another
    order than the sounds.
    """
    return options.quality is not Quality.FAST and options.task is Task.TRANSCRIBE and spec.hears_borders


def heard_across(recognizer: WhisperModel, border: Border) -> str:
    """What the decoder says behind the left side's last word, without that. Raises what the engine raises."""
    words = [timed.word for timed in border.left.words]
    count = _given(words, seconds(_speech(border.left.task.chunk)[1]))
    return _heard_behind(recognizer, words, count, _samples(border, words[-count].start_s), border.language)


def heard_inside(recognizer: WhisperModel, chunk: SpeechChunk, left: list[Word], right: Word, language: str) -> str:
    """What the decoder says behind the last of `left`, without that; `right` is the next word that the chunk has.

    "" where the two do not fit into a window. Raises what the engine raises.
    """
    count = _given(left, left[-1].end_s)
    begin, end = (round((word.start_s - chunk.start_s) * SAMPLE_RATE_HZ) for word in (left[-count], right))
    begin, behind = max(0, begin - _LEAD), round(BEHIND_S * SAMPLE_RATE_HZ)
    if not begin < end < min(begin + _SAMPLES, len(chunk.samples)):
        return ""
    return _heard_behind(recognizer, left, count, chunk.samples[begin : end + behind], language)


def _heard_behind(recognizer: WhisperModel, words: list[Word], count: int, samples: Samples, language: str) -> str:
    """What the decoder says behind `words` without their mark, in `samples`, which begin with the last `count`."""
    prefix = _prefix(recognizer, words[-count:])
    tokenizer, spec = recognizer.tokenizer, recognizer.spec
    before = join_words(words[:-count])[-_PROMPT_CHARACTERS:]
    prompt = tokenizer.prompt(language, Task.TRANSCRIBE.value, before)
    frames = WINDOW_FRAMES if spec.strict_window else BORDER_FRAMES
    features = features_of([SpeechChunk(0, 0, samples[:_SAMPLES], ())], spec.n_mels, frames)
    decoding = Decoding(1, 0.0, _NEW_TOKENS, prefix=prefix)
    [found] = recognizer.generate(recognizer.encode(features), [prompt], decoding)
    return tokenizer.decode(found.token_ids[len(prefix) :])


def _given(words: list[Word], stop_s: float) -> int:
    """How many words are in the window, one at least: those of the last seconds before `stop_s`."""
    return max(1, sum(word.start_s >= stop_s - BEFORE_S for word in words))


def _prefix(recognizer: WhisperModel, words: list[Word]) -> tuple[int, ...]:
    """The tokens of the words, without the mark at their end."""
    text = join_words([*words[:-1], replace(words[-1], text=without_marks(words[-1].text))])
    return recognizer.tokenizer.encode((" " if words[0].space_before else "") + text)


def _samples(border: Border, start_s: float) -> Samples:
    """What is in the window, from the word that starts at `start_s`; what lies between the two chunks is silence."""
    left, right = border.left.task.chunk, border.right.task.chunk
    start = max(left.start, round(start_s * SAMPLE_RATE_HZ) - _LEAD)
    stop = min(right.stop, _speech(right)[0] + round(BEHIND_S * SAMPLE_RATE_HZ))
    pause = np.zeros(max(0, right.start - left.stop), np.float32)
    parts = (left.samples[start - left.start :], pause, right.samples[: stop - right.start])
    return np.concatenate(parts)


def _speech(chunk: SpeechChunk) -> tuple[int, int]:
    """From where to where somebody speaks."""
    return (chunk.speech[0].start, chunk.speech[-1].stop) if chunk.speech else (chunk.start, chunk.stop)

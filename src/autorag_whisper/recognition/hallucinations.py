"""Is a text hallucinated: words for a sound in which nobody speaks?

Whisper was trained on subtitles: over music, noise or breath it writes what subtitles have there ("Thank you.", "Thanks
for watching!"). No single sign tells it from faint speech, so three witnesses are heard, each for itself:

- voice activity: `SpeechChunk.voice`, how sure it is at its best, over half a second;
- the encoder: Whisper's own probability of "no speech";
- the decoder: the mean log-probability of its tokens. With the encoder's it makes the *doubt*,
  `no_speech_prob - 0.4 * avg_logprob`.

A text is rejected under one of these rules, the first that applies, and listed with it:

| rule | voice | encoder and decoder | the text |
|---|---|---|---|
| `no_words` | any | any | has no letter and no digit ("...", a note) |
| `no_speech` | any | no speech > 0.6 and log-probability < -1.0 (the options' thresholds) | any |
| `hopeless` | any | doubt > 1.2 | any |
| `faint_voice` | < 0.75 | doubt > 0.65 | any |
| `known_phantom` | < 0.75 | doubt > 0.5 | nothing but a sentence of `KNOWN`, or several |
| `sparse` | any | doubt > 0.45 | under 1.5 letters or digits a second of speech, over 3 s of it and more |
| `faint_loop` | < 0.95 | doubt > 0.45 | the same words three times or more, and nothing else |
| `drawn_out` | < 0.95 | any | nothing but sounds held on: "ahhhh", "Ooooh mmmm" |

And of a text that is accepted, its end under `squeezed`: two words or more that the alignment puts on one spot behind
the speech, which is what is left for words that nothing in the sound answers to. Or under `squeezed_repeat`: where a
text says the same twice in a row, as many words as one saying has (four and more) within 0.05 s, wherever that is.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from autorag_whisper.align.words import LEAST_S
from autorag_whisper.domain.audio import seconds
from autorag_whisper.recognition.loops import find_loop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.align.words import TimedWord
    from autorag_whisper.domain.audio import SpeechChunk, SpeechSpan
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import Attempt

FAINT_VOICE, FAINT_LOOP_VOICE = 0.75, 0.95
HOPELESS_DOUBT, DOUBT, KNOWN_DOUBT, LOOP_DOUBT = 1.2, 0.65, 0.5, 0.45
SPARSE_FROM_S, SPARSE_LETTERS_PER_S = 3.0, 1.5
_LOGPROB_WEIGHT = 0.4
NO_SPEECH = 0.5
"""Probability of "no speech" from which hallucinated text is not worth a second try."""

SQUEEZED = "squeezed: two words or more on one spot behind the speech"
"""The rule by which the end of a text is rejected."""
SQUEEZED_REPEAT = "squeezed_repeat: the same words once more, and no sound for them: all on one spot"
"""The rule by which a repetition within a text is rejected."""
_SPOT_S, _BEHIND_S, _SQUEEZED_WORDS = 0.05, 0.3, 2
_SQUEEZED_REPEAT_WORDS = 4

_HELD_ON = re.compile(r"([^\W\d_])\1\1")

KNOWN = frozenset({
    "thank you", "thank you very much", "thank you so much", "thanks for watching", "thank you for watching",
    "thanks for listening", "please subscribe", "subscribe", "like and subscribe", "you", "bye", "bye bye",
    "see you next time", "to be continued", "the end", "music", "applause", "silence", "untertitel", "vielen dank",
    "danke", "merci", "gracias", "obrigado", "grazie",
    "ご視聴ありがとうございました", "谢谢观看", "продолжение следует",
})  # fmt: skip
"""What Whisper writes over sounds, without marks, in lower case. Each can be said too: never reason enough alone."""


class Hallucination(StrEnum):
    """The rule by which a text is rejected; the value is what the result says."""

    NO_WORDS = "no_words: the text has no letter and no digit"
    NO_SPEECH = "no_speech: the model heard no speech and was unsure of its words"
    HOPELESS = "hopeless: the model doubted that this is speech far beyond any speech that was measured"
    FAINT_VOICE = "faint_voice: voice activity was weak and the model doubted that this is speech"
    # Published under this name, in results and in docs.
    KNOWN = "known_phantom: what the model writes over sounds, where voice activity was weak"
    SPARSE = "sparse: next to no words for so long a sound, and the model doubted that this is speech"
    FAINT_LOOP = "faint_loop: the same words over and over, where voice activity was weak"
    DRAWN_OUT = "drawn_out: nothing but sounds held on, where voice activity was weak"


def hallucination_rule(
    text: str, attempt: Attempt, chunk: SpeechChunk, options: TranscribeOptions
) -> Hallucination | None:
    """The rule under which `text`, decoded from `chunk`, is a hallucination; None if it counts as said."""
    if not text:
        return None
    if not any(character.isalnum() for character in text):
        return Hallucination.NO_WORDS
    if attempt.no_speech_prob > options.no_speech_threshold and attempt.avg_logprob < options.logprob_threshold:
        return Hallucination.NO_SPEECH
    return _doubtful(text, doubt_of(attempt), chunk)


def _doubtful(text: str, doubt: float, chunk: SpeechChunk) -> Hallucination | None:
    voice = chunk.voice
    if doubt > HOPELESS_DOUBT:
        return Hallucination.HOPELESS
    if voice < FAINT_VOICE and doubt > DOUBT:
        return Hallucination.FAINT_VOICE
    if voice < FAINT_VOICE and doubt > KNOWN_DOUBT and is_known(text):
        return Hallucination.KNOWN
    if doubt > LOOP_DOUBT and is_sparse(text, sum(span.duration_s for span in chunk.speech)):
        return Hallucination.SPARSE
    if voice < FAINT_LOOP_VOICE and doubt > LOOP_DOUBT and is_loop(text):
        return Hallucination.FAINT_LOOP
    if voice < FAINT_LOOP_VOICE and is_drawn_out(text):
        return Hallucination.DRAWN_OUT
    return None


def doubt_of(attempt: Attempt) -> float:
    """What the encoder and the decoder together hold against this being speech: 0 is none, 1 a lot."""
    return attempt.no_speech_prob - _LOGPROB_WEIGHT * attempt.avg_logprob


def is_known(text: str) -> bool:
    """Whether every sentence of `text` is one that Whisper writes over sounds."""
    sentences = [" ".join(re.findall(r"\w+", sentence)) for sentence in re.split(r"[.!?。！？…]+", text.lower())]  # noqa: RUF001 - marks as they are written
    said = [sentence for sentence in sentences if sentence]
    return bool(said) and all(sentence in KNOWN for sentence in said)


def is_sparse(text: str, speech_s: float) -> bool:
    """Whether `text` is far less than anyone says in `speech_s`."""
    return speech_s >= SPARSE_FROM_S and sum(c.isalnum() for c in text) < SPARSE_LETTERS_PER_S * speech_s


def is_loop(text: str) -> bool:
    """Whether `text` is one run of words that is said three times or more, and at most the beginning of it again."""
    words = re.findall(r"\w+", text.lower())
    loop = find_loop(words)
    return loop is not None and loop.times >= 3 and loop.stop - loop.start >= 0.8 * len(words)


def is_drawn_out(text: str) -> bool:
    """Whether every word of `text` has a letter three times in a row: a vowel that is sung, not a word."""
    words = re.findall(r"\w+", text.lower())
    return bool(words) and all(_HELD_ON.search(word) for word in words)


def squeezed_from(words: Sequence[TimedWord], speech: Sequence[SpeechSpan]) -> int:
    """Index of the first word that is rejected under `SQUEEZED`; the number of words if none is.

    `speech`: of the words' chunk. Words without an alignment are spread over it and never rejected here.
    """
    behind_s = seconds(speech[-1].stop) + _BEHIND_S if speech else 0.0
    kept, spot_s = len(words), _SPOT_S
    while kept and words[kept - 1].word.start_s >= max(behind_s, words[-1].word.end_s - spot_s):
        kept -= 1
        spot_s += LEAST_S
    return kept if len(words) - kept >= _SQUEEZED_WORDS else len(words)


def squeezed_repeat(words: Sequence[TimedWord]) -> slice:
    """The words that are rejected under `SQUEEZED_REPEAT`, all of them in a loop of the text; an empty slice if none.

    They are whole periods of the loop, begun anywhere in it: the text without them says the same once less, and of two
    sayings that share the sound (one has its beginning, the other its end) the times of both serve. Signs alone (emoji,
    currency) have no sound of their own and are never rejected here.
    """
    letters = ["".join(re.findall(r"\w", timed.word.text.lower())) for timed in words]
    loop = find_loop([said or timed.word.text for said, timed in zip(letters, words, strict=True)])
    if loop is None or not any(letters[loop.start : loop.stop]):
        return slice(0, 0)
    count = -(-_SQUEEZED_REPEAT_WORDS // loop.period) * loop.period
    starts = range(loop.start, loop.stop - count + 1) if loop.stop - loop.start - count >= loop.period else range(0)
    spot_s = _SPOT_S + (count - 1) * LEAST_S
    found = [at for at in starts if words[at + count - 1].word.start_s - words[at].word.start_s <= spot_s]
    if not found:
        return slice(0, 0)
    at = min(found, key=lambda at: sum(timed.word.end_s - timed.word.start_s for timed in words[at : at + count]))
    return slice(at, at + count)

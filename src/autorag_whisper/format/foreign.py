"""Other tools' JSON with words and times, and our own list of words, as a `Transcript`."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from autorag_whisper.domain.audio import MediaInfo
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.language import parse_language
from autorag_whisper.domain.request import Task
from autorag_whisper.domain.transcript import Segment, Transcript, Word, WordSource, join_words
from autorag_whisper.format.punctuation import Stop, stop_after
from autorag_whisper.format.scripts import language_by_script
from autorag_whisper.format.spacing import separate, spaces_before

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.format.checked import Node

UNKNOWN_LANGUAGE = "en"
_TEXT_KEYS = ("word", "w", "text")
_START_KEYS, _END_KEYS = ("start", "s"), ("end", "e")
_PROBABILITY_KEYS = ("probability", "p", "confidence")
_SEGMENT_PAUSE_S = 1.0
_NO_MEDIA = MediaInfo("", "", 0, 0, 0, 0)


def language_of(node: Node) -> str:
    """A language as a Whisper code."""
    try:
        code = parse_language(node.text())
    except InvalidOption:
        code = None
    if code is None:
        raise node.wrong(f"{node.value!r} is no language")
    return code


def read_foreign(root: Node, language: str | None) -> Transcript:
    """The transcript in a JSON value that is not our whole result.

    Raises:
        InvalidTranscript: it has no words with times, or they make no sense.
    """
    own = None
    if isinstance(root.value, dict):
        own = language_of(root.get("language")) if root.has("language") and root.value["language"] != "" else None
    code = own or language or _language_of_words(root)
    segments = _segments(root, code)
    if not segments and not _may_be_empty(root):
        raise root.wrong("has no words with times")
    spoken_until_s = segments[-1].end_s if segments else 0.0
    stated_s = root.get("duration").number(0.0) if isinstance(root.value, dict) else 0.0
    return Transcript(
        name=root.name,
        duration_s=max(stated_s, spoken_until_s),
        language=code,
        language_probability=0.0,
        task=_task(root),
        segments=segments,
        model="",
        device="",
        compute_type="",
        media=_NO_MEDIA,
    )


def _language_of_words(root: Node) -> str:
    words = root.value if isinstance(root.value, list) else [*_all(root.value, "words"), *_all(root.value, "segments")]
    texts = [str(word.get(key, "")) for word in words if isinstance(word, dict) for key in _TEXT_KEYS]
    return language_by_script("".join(texts)) or UNKNOWN_LANGUAGE


def _all(value: object, key: str) -> list[object]:
    items = value.get(key) if isinstance(value, dict) else None
    return items if isinstance(items, list) else []


def _may_be_empty(root: Node) -> bool:
    """Whether it says itself that nothing was said."""
    if isinstance(root.value, list):
        return root.value == []
    lists = [root.value[key] for key in ("segments", "words") if key in root.value]
    return bool(lists) and all(items == [] for items in lists)


def _task(root: Node) -> str:
    task = root.get("task").value if isinstance(root.value, dict) else None
    return Task.TRANSLATE.value if task in ("translate", "translation") else Task.TRANSCRIBE.value


def _segments(root: Node, code: str) -> tuple[Segment, ...]:
    if isinstance(root.value, list):
        return _cut(_apart(_words(list(root.items()), ""), root), code)
    nodes = list(root.get("segments").items())
    if any(isinstance(node.value, dict) and node.get("words").value for node in nodes):
        given = [(node, _words(list(node.get("words").items()), node.get("text").text(""))) for node in nodes]
        for node, words in given:
            if not words and node.get("text").text("").strip():
                raise node.wrong("has text, but no words with times")
        words = _apart([word for _, words in given for word in words], root)
        return _regrouped([(node, len(own)) for node, own in given if own], words, code)
    return _cut(_apart(_words(list(root.get("words").items()), root.get("text").text("")), root), code)


def _regrouped(groups: Sequence[tuple[Node, int]], words: Sequence[Word], code: str) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    first = 0
    for node, count in groups:
        own = words[first : first + count]
        first += count
        segments.append(
            replace(
                _segment(len(segments), own, code),
                avg_logprob=node.get("avg_logprob").number(0.0),
                compression_ratio=node.get("compression_ratio").number(1.0),
                no_speech_prob=node.get("no_speech_prob").number(0.0),
                temperature=node.get("temperature").number(0.0),
            )
        )
    return tuple(segments)


def _segment(index: int, words: Sequence[Word], code: str) -> Segment:
    return Segment(index, words[0].start_s, words[-1].end_s, join_words(list(words)), tuple(words), code)


def _cut(words: Sequence[Word], code: str) -> tuple[Segment, ...]:
    """Segments at the ends of sentences and at long pauses."""
    segments: list[Segment] = []
    first = 0
    for stop in range(1, len(words) + 1):
        last = stop == len(words)
        if last or stop_after(words[stop - 1].text) is Stop.SENTENCE or _pause_s(words, stop) > _SEGMENT_PAUSE_S:
            segments.append(_segment(len(segments), words[first:stop], code))
            first = stop
    return tuple(segments)


def _pause_s(words: Sequence[Word], stop: int) -> float:
    return words[stop].start_s - words[stop - 1].end_s


def _words(nodes: Sequence[Node], text: str) -> list[Word]:
    """The words, with the punctuation and the blanks that `text` has around them."""
    nodes = [node for node in nodes if _first(node, _TEXT_KEYS).text().strip()]
    raw = [_first(node, _TEXT_KEYS).text() for node in nodes]
    texts = [word.strip() for word in raw]
    if text.strip():
        spaces = spaces_before(texts, text.strip())
        texts = _punctuated(texts, text)
    elif any(word[0].isspace() for word in raw):
        spaces = [word[0].isspace() for word in raw]
    else:
        spaces = [True, *(separate(before, word) for before, word in pairwise(texts))][: len(texts)]
    times = _times(nodes)
    return [
        _word(node, text, time, space_before=space)
        for node, text, time, space in zip(nodes, texts, times, spaces, strict=True)
    ]


def _punctuated(words: list[str], text: str) -> list[str]:
    """`words` as `text` has them between its blanks, where each of them is such a piece but for its punctuation."""
    pieces = text.split()
    bare = ["".join(filter(str.isalnum, piece)) for piece in pieces]
    if bare == ["".join(filter(str.isalnum, word)) for word in words]:
        return pieces
    return words


def _first(node: Node, keys: Sequence[str]) -> Node:
    return next((node.get(key) for key in keys if node.has(key)), node.get(keys[0]))


def _times(nodes: Sequence[Node]) -> list[tuple[float, float, bool]]:
    """(start, end, known) of each word; those without times share what lies between their neighbours."""
    known: list[tuple[float, float] | None] = []
    for node in nodes:
        start, end = _first(node, _START_KEYS), _first(node, _END_KEYS)
        both = start.value is not None and end.value is not None
        known.append((start.number(), end.number()) if both else None)
    if nodes and not any(known):
        raise nodes[0].wrong("has no times, and none of the words beside it has")
    times: list[tuple[float, float, bool]] = []
    for own, (left, ahead_s) in zip(known, _ahead(known), strict=True):
        if own is not None:
            times.append((*own, True))
            continue
        before_s = times[-1][1] if times else ahead_s
        # The word before may reach into the next one that has times.
        begin_s = min(before_s, ahead_s)
        end_s = begin_s if math.isinf(ahead_s) else begin_s + (ahead_s - begin_s) / left
        times.append((begin_s, end_s, False))
    return times


def _ahead(known: Sequence[tuple[float, float] | None]) -> list[tuple[int, float]]:
    """For each word: how many words further the next one with times is (0: itself), and its start in seconds; without
    one, how many words are left, and infinity."""
    found: list[tuple[int, float]] = []
    left, start_s = 1, math.inf
    for own in reversed(known):
        left, start_s = (0, own[0]) if own is not None else (left + 1, start_s)
        found.append((left, start_s))
    return found[::-1]


def _word(node: Node, text: str, time: tuple[float, float, bool], *, space_before: bool) -> Word:
    start_s, end_s, known = time
    score = node.get("score").number() if node.has("score") else None
    probability = _first(node, _PROBABILITY_KEYS).number(1.0)
    values = {
        "text": text,
        "start_s": start_s,
        "end_s": end_s,
        "probability": probability,
        "source": WordSource.TOKENS if known else WordSource.INTERPOLATED,
        "score": score,
        "space_before": space_before,
    }
    return node.made(Word, values)


def _apart(words: Sequence[Word], root: Node) -> list[Word]:
    """`words`, each ending before the next begins."""
    apart = []
    for word, following in pairwise(words):
        if following.start_s < word.start_s:
            reason = f"{following.text!r} begins at {following.start_s:g} s, before the word before it"
            raise root.wrong(f"has words out of order: {reason}")
        apart.append(replace(word, end_s=min(word.end_s, following.start_s)))
    return [*apart, *words[-1:]]

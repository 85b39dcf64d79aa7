"""The card's words beside the CPU's, on recordings with a truth."""

from __future__ import annotations

from difflib import SequenceMatcher
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.card.day import NotHereError

if TYPE_CHECKING:
    from autorag_whisper.domain.transcript import Transcript
    from benchmarks.card.day import Day

MODELS = ("tiny.en", "base")
WER_POINTS = 0.3
TIMES_S = 0.020


def words(day: Day) -> None:
    """For each model: word error rates of both, and how far apart the times of the same words are."""
    from autorag_whisper.domain.request import TranscribeOptions

    files = [row for row in day.recordings if row.get("text")]
    if not files:
        raise NotHereError("no recordings with a truth were carried")
    for model in MODELS:
        own = [row for row in files if model != "tiny.en" or row["language"] == "en"]
        heard: dict[str, list[Transcript]] = {}
        with day.transcriber() as transcriber:
            for device in dict.fromkeys((day.device, "cpu")):
                handle = transcriber.model(day.model(model), device)
                paths = [str(row["path"]) for row in own]
                outcomes = {str(o.source.path): o.result() for o in
                            transcriber.transcribe_many(paths, TranscribeOptions(), model=handle)}  # fmt: skip
                heard[device] = [outcomes[path] for path in paths]
        _compare(day, model, own, heard)


def _compare(day: Day, model: str, files: list[dict[str, object]], heard: dict[str, list[Transcript]]) -> None:
    from benchmarks.compare.scoring import count_errors

    rates = {}
    for device, found in heard.items():
        counts = [
            count_errors(str(row["text"]), t.text, str(row["language"])) for row, t in zip(files, found, strict=True)
        ]
        rates[device] = 100 * sum(c.all for c in counts) / max(1, sum(c.words for c in counts))
    there, here = rates[day.device], rates["cpu"]
    day.tell(
        f"{model}: WER on {day.device} / the CPU", f"{there:.2f} / {here:.2f} %", ok=abs(there - here) <= WER_POINTS
    )
    apart = [far for a, b in zip(heard[day.device], heard["cpu"], strict=True) for far in _apart(a, b)]
    far = sorted(apart)
    found = (
        f"median {1000 * median(far):.1f} ms, 95 % within {1000 * far[int(0.95 * len(far))]:.0f} ms, {len(far)} edges"
    )
    day.tell(f"{model}: times of equal words", found, ok=median(far) <= TIMES_S)
    ran_on = {t.device for t in heard[day.device]}
    day.tell(f"{model}: ran on", ", ".join(sorted(ran_on)), ok=all(d.startswith(day.device) for d in ran_on))


def _apart(one: Transcript, other: Transcript) -> list[float]:
    """Seconds between the starts, and between the ends, of words that both have."""
    a, b = ([word.text.casefold() for word in t.words] for t in (one, other))
    return [
        abs(x - y)
        for i, j, count in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
        for n in range(count)
        for x, y in (
            (one.words[i + n].start_s, other.words[j + n].start_s),
            (one.words[i + n].end_s, other.words[j + n].end_s),
        )
    ]

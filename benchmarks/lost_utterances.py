"""Whole utterances that are missing from the text, and words that nobody said, over hypotheses of `folder.py`.

    .venv/bin/python benchmarks/folder.py ours FOLDER --each ours.jsonl
    .venv/bin/python benchmarks/lost_utterances.py FOLDER ours.jsonl fw.jsonl [--files]

FOLDER has the manifest of `make_joins.py`. An utterance counts where the engine has at least 70 % of its words when it
is alone; it is lost where less than a third of its words come out of a join. Words are compared by jiwer after
Whisper's normaliser. An invented word is an insertion. Told are the lost utterances of which a third and more lies in
stretches that the engine itself lists as speech without words; only ours does. Joins that one of the engines has not
heard are left out for all.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jiwer
from whisper_normalizer.english import EnglishTextNormalizer

if TYPE_CHECKING:
    from collections.abc import Sequence

_NORMAL = EnglishTextNormalizer()
KNOWN, LOST = 0.7, 1 / 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("hypotheses", type=Path, nargs="+")
    parser.add_argument("--files", action="store_true", help="list the utterances that are lost")
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in (arguments.folder / "manifest.jsonl").read_text().splitlines()]
    every = {path.stem: read(path) for path in arguments.hypotheses}
    rows = [row for row in rows if all(row["path"] in said for said in every.values())]
    for name, said in every.items():
        report(name, rows, said, files=arguments.files)


def read(path: Path) -> dict[str, dict[str, Any]]:
    """What was heard of each file, from one object of JSON or a line of it for each file."""
    text = path.read_text()
    if path.suffix == ".jsonl":
        return {row["path"]: row for row in map(json.loads, text.splitlines())}
    return json.loads(text)


def report(name: str, rows: list[dict[str, Any]], said: dict[str, dict[str, Any]], *, files: bool) -> None:
    heard = {path: " ".join(word["w"] for word in one["words"]) for path, one in said.items()}
    known = {
        row["utterances"][0]["clip"] for row in rows if row["kind"] == "alone" and found(row, heard)[0][0] >= KNOWN
    }
    asked, lost, told, invented, joins = [Counter[str]() for _ in range(5)]
    for row in rows:
        if row["kind"] == "alone":
            continue
        shares, insertions = found(row, heard)
        joins[row["kind"]] += 1
        invented[row["kind"]] += insertions
        for utterance, share in zip(row["utterances"], shares, strict=True):
            if utterance["clip"] in known:
                asked[row["kind"]] += 1
                if share >= LOST:
                    continue
                is_told = is_listed(utterance, said[row["path"]].get("holes", ()))
                lost[row["kind"]] += 1
                told[row["kind"]] += is_told
                if files:
                    how = "told" if is_told else "not told"
                    print(f"  {row['path']}: {utterance['text']!r} at {utterance['start_s']:.1f} s, {how}")
    print(f"{name}: {len(known)} clips recognised alone")
    for kind in (*sorted(joins), "all"):
        counters = (joins, asked, lost, told, invented)
        counts = [counter.total() if kind == "all" else counter[kind] for counter in counters]
        line = "  {:<10} {:4} joins, {:4} utterances, {:3} lost, of which {:3} told, {:4} words invented"
        print(line.format(kind, *counts))


def is_listed(utterance: dict[str, Any], holes: Sequence[tuple[float, float]]) -> bool:
    start_s, end_s = utterance["start_s"], utterance["end_s"]
    inside_s = sum(max(0.0, min(end_s, stop_s) - max(start_s, begin_s)) for begin_s, stop_s in holes)
    return inside_s >= (end_s - start_s) / 3


def found(row: dict[str, Any], heard: dict[str, str]) -> tuple[list[float], int]:
    """The share of each utterance's words that is in the text, and the words that are inserted."""
    references = [_NORMAL(utterance["text"]).split() for utterance in row["utterances"]]
    reference, hypothesis = [word for words in references for word in words], _NORMAL(heard.get(row["path"], ""))
    if not hypothesis:
        return [0.0] * len(references), 0
    aligned = jiwer.process_words(" ".join(reference), hypothesis)
    hit = {
        at
        for chunk in aligned.alignments[0]
        if chunk.type == "equal"
        for at in range(chunk.ref_start_idx, chunk.ref_end_idx)
    }
    shares, start = [], 0
    for words in references:
        shares.append(sum(at in hit for at in range(start, start + len(words))) / max(1, len(words)))
        start += len(words)
    return shares, aligned.insertions


if __name__ == "__main__":
    main()

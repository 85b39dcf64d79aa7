"""Whole utterances that are missing from the text, and words that nobody said, over hypotheses of `folder.py`.

    .venv/bin/python benchmarks/folder.py ours FOLDER --hypotheses ours.json
    .venv/bin/python benchmarks/lost_utterances.py FOLDER ours.json fw.json [--files]

FOLDER has the manifest of `make_joins.py`. An utterance counts where the engine has at least 70 % of its words when it
is alone; it is lost where less than a third of its words come out of a join. Words are compared by jiwer after
Whisper's normaliser. An invented word is an insertion.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import jiwer
from whisper_normalizer.english import EnglishTextNormalizer

_NORMAL = EnglishTextNormalizer()
KNOWN, LOST = 0.7, 1 / 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("hypotheses", type=Path, nargs="+")
    parser.add_argument("--files", action="store_true", help="list the utterances that are lost")
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in (arguments.folder / "manifest.jsonl").read_text().splitlines()]
    for path in arguments.hypotheses:
        heard = {name: " ".join(w["w"] for w in said["words"]) for name, said in json.loads(path.read_text()).items()}
        report(path.stem, rows, heard, files=arguments.files)


def report(name: str, rows: list[dict[str, Any]], heard: dict[str, str], *, files: bool) -> None:
    known = {
        row["utterances"][0]["clip"] for row in rows if row["kind"] == "alone" and found(row, heard)[0][0] >= KNOWN
    }
    asked, lost, invented, joins = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        if row["kind"] == "alone":
            continue
        shares, insertions = found(row, heard)
        joins[row["kind"]] += 1
        invented[row["kind"]] += insertions
        for utterance, share in zip(row["utterances"], shares, strict=True):
            if utterance["clip"] in known:
                asked[row["kind"]] += 1
                lost[row["kind"]] += share < LOST
                if files and share < LOST:
                    print(f"  {row['path']}: {utterance['text']!r} at {utterance['start_s']:.1f} s")
    print(f"{name}: {len(known)} clips recognised alone")
    for kind in (*sorted(joins), "all"):
        counts = [counter.total() if kind == "all" else counter[kind] for counter in (joins, asked, lost, invented)]
        print("  {:<10} {:4} joins, {:4} utterances, {:3} lost, {:4} words invented".format(kind, *counts))


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

"""Words invented where nobody speaks, and words lost where speech is faint, counted over hypotheses of `folder.py`.

    .venv/bin/python benchmarks/invented.py FOLDER HYPOTHESES.json... [--files]

FOLDER has the manifest of `make_no_speech.py` or `make_faint.py`. A file without reference text counts every word as
invented. Elsewhere the words are compared as `score.py` of the kit does it: Whisper's English normaliser, then jiwer.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import jiwer
from whisper_normalizer.english import EnglishTextNormalizer

_NORMAL = EnglishTextNormalizer()
Counts = dict[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("hypotheses", type=Path, nargs="+")
    parser.add_argument("--files", action="store_true", help="list the files with invented words")
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in (arguments.folder / "manifest.jsonl").read_text().splitlines()]
    for path in arguments.hypotheses:
        texts = {
            name: " ".join(word["w"] for word in said["words"]) for name, said in json.loads(path.read_text()).items()
        }
        report(path.stem, rows, texts, files=arguments.files)


def report(name: str, rows: list[dict], texts: dict[str, str], *, files: bool) -> None:
    """One line for each condition and one for all: reference words, hit, lost, wrong, invented, WER."""
    groups: dict[str, Counts] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        if row["path"] not in texts:
            print(f"{name}: no result for {row['path']}")
            continue
        counts = compare(row["text"], texts[row["path"]])
        for group in ("ALL", row["tags"][1]):
            for what, count in counts.items():
                groups[group][what] += count
        if files and not row["text"] and counts["invented"]:
            print(f"  {row['path']}: {texts[row['path']]}")
    print(f"{name:24} {'words':>6} {'hit':>5} {'lost':>5} {'wrong':>6} {'invented':>9} {'WER %':>6}")
    for group, counts in sorted(groups.items(), key=lambda item: item[0] == "ALL"):
        if counts["words"] or counts["invented"] or group == "ALL":
            print(f"  {group:22} " + line(counts))


def line(counts: Counts) -> str:
    errors = counts["lost"] + counts["wrong"] + counts["invented"]
    wer = f"{100 * errors / counts['words']:6.1f}" if counts["words"] else "      "
    shown = [counts[what] for what in ("words", "hit", "lost", "wrong", "invented")]
    return "{:6} {:5} {:5} {:6} {:9} ".format(*shown) + wer


def compare(reference: str, heard: str) -> Counts:
    expected, said = _NORMAL(reference), _NORMAL(heard)
    if not expected:
        # Counted before normalising, which drops what sounds like hesitation.
        return {"words": 0, "hit": 0, "lost": 0, "wrong": 0, "invented": len(heard.split())}
    out = jiwer.process_words(expected, said)
    return {
        "words": len(expected.split()), "hit": out.hits, "lost": out.deletions, "wrong": out.substitutions,
        "invented": out.insertions,
    }  # fmt: skip


if __name__ == "__main__":
    main()

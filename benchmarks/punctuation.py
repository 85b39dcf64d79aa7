"""Punctuation and case against texts that are known, over hypotheses of `folder.py`.

    .venv/bin/python benchmarks/folder.py ours KIT/real --match long_ --hypotheses ours.json
    .venv/bin/python benchmarks/punctuation.py KIT/real KIT/tts --hypotheses ours.json fw.json [--files]

The words of the text that is known and of the hypothesis are paired by their letters and digits. After a pair a mark is
right, missing or false; of a false sentence end the known text has no mark at all, or one that ends no sentence. A word
has a wrong case where it is the known one but for that. Texts without marks or without capitals, and files that were
not heard, are left out. In scripts without blanks a character is a word.

Besides, without any known text: ends of sentences before a small letter, which a script with case never writes.
"""

from __future__ import annotations

import argparse
import difflib
import itertools
import json
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ENDS = frozenset(".?!。？！…।؟۔")  # noqa: RUF001 - marks as they are written
WEAK = frozenset(",;:，、；：،؛")  # noqa: RUF001 - marks as they are written
BY_CHARACTER = frozenset({"zh", "ja", "yue", "th", "lo", "my", "km"})
_LEAST_MARKS = 2
"""Sentence ends that a text must have to say anything about them."""
_NO_END = frozenset({"mr", "mrs", "ms", "dr", "st", "prof", "etc", "no", "vs", "e.g", "i.e", "z.b", "sr", "sra"})
"""Words whose point ends no sentence."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word: what is compared, as it was written, and the kind of mark behind it ("", "end", "weak")."""

    letters: str
    written: str
    mark: str


@dataclass(slots=True)
class Counts:
    """What was counted over some files."""

    ends: Counter[str] = field(default_factory=Counter)
    weak: Counter[str] = field(default_factory=Counter)
    pairs: int = 0
    wrong_case: int = 0
    false_capitals: int = 0
    end_before_small: int = 0
    minutes: float = 0.0
    shown: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The figures in one line."""
        return (
            f"{self.minutes:6.1f} min {self.pairs:6} words | sentence ends {scores(self.ends)}"
            f" false {self.ends['false']:3}"
            f" | commas {scores(self.weak)} | wrong case {self.wrong_case:3}, capitals {self.false_capitals:3}"
            f" | end before a small letter {self.end_before_small:3}"
        )

    def add(self, other: Counts) -> None:
        """Count `other` too."""
        self.ends.update(other.ends)
        self.weak.update(other.weak)
        self.pairs += other.pairs
        self.wrong_case += other.wrong_case
        self.false_capitals += other.false_capitals
        self.end_before_small += other.end_before_small
        self.minutes += other.minutes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders with a manifest.jsonl")
    parser.add_argument("--hypotheses", type=Path, nargs="+", required=True)
    parser.add_argument("--files", action="store_true", help="each file, and what is false in it")
    arguments = parser.parse_args()
    known = [
        json.loads(line)
        for folder in arguments.folders
        for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    for path in arguments.hypotheses:
        heard = json.loads(path.read_text(encoding="utf-8"))
        report(path.stem, [row for row in known if row["path"] in heard and has_marks(row)], heard, arguments.files)


def report(name: str, known: list[dict[str, Any]], heard: dict[str, Any], files: bool) -> None:
    total = Counts()
    for row in known:
        counts = compare(row, text_of(heard[row["path"]]))
        total.add(counts)
        if files:
            print(f"{row['path']:<28}{counts.line}")
            print("".join(f"    {shown}\n" for shown in counts.shown), end="")
    print(f"{name}: {len(known)} files\n{'':<28}{total.line}")


def text_of(said: dict[str, Any]) -> str:
    """The running text of a hypothesis."""
    return str(said["text"] if said.get("text") else " ".join(word["w"] for word in said["words"]))


def has_marks(row: dict[str, Any]) -> bool:
    """Whether a known text says where its sentences end, and has capitals where its script has them."""
    text = row["text"]
    cased = [c for c in text if c.lower() != c.upper()]
    return sum(token.mark == "end" for token in tokens(text, row["language"])) >= _LEAST_MARKS and (
        not cased or any(c.isupper() for c in cased)
    )


def tokens(text: str, language: str) -> list[Token]:
    """The words of a text, with the marks behind them."""
    if language in BY_CHARACTER:
        text = "".join(f" {c}" if unicodedata.category(c)[0] in "LN" else c for c in text)
    found: list[Token] = []
    for written in text.split():
        letters = "".join(c for c in unicodedata.normalize("NFKC", written).casefold() if c.isalnum())
        mark = mark_of(written)
        if letters:
            found.append(Token(letters, written, mark))
        elif found and mark:  # a mark that stands free
            found[-1] = Token(found[-1].letters, found[-1].written, mark)
    return found


def mark_of(written: str) -> str:
    """The kind of mark with which a word ends."""
    behind = written[len(written.rstrip("".join(c for c in set(written) if not c.isalnum()))) :]
    if written.lower().rstrip(".") in _NO_END and "." in behind:
        return "weak" if any(c in WEAK for c in behind) else ""
    if any(c in ENDS for c in behind):
        return "end"
    return "weak" if any(c in WEAK for c in behind) else ""


def compare(row: dict[str, Any], text: str) -> Counts:
    """One file's counts."""
    expected, got = tokens(row["text"], row["language"]), tokens(text, row["language"])
    counts = Counts(minutes=row["duration_s"] / 60)
    matcher = difflib.SequenceMatcher(None, [t.letters for t in expected], [t.letters for t in got], autojunk=False)
    for a, b, size in matcher.get_matching_blocks():
        for n in range(size):
            last = a + n + 1 == len(expected)
            count_pair(counts, expected[a + n], got[b + n], got[b + n + 1 : b + n + 3], last=last)
    counts.end_before_small = sum(
        before.mark == "end" and first_letter(after.written).islower() for before, after in itertools.pairwise(got)
    )
    return counts


def count_pair(counts: Counts, expected: Token, got: Token, following: list[Token], *, last: bool) -> None:
    """A word that is the known one: its case, and the marks behind it, but for the last of a text."""
    counts.pairs += 1
    ours, theirs = first_letter(got.written), first_letter(expected.written)
    counts.wrong_case += ours != theirs and ours.casefold() == theirs.casefold()
    counts.false_capitals += ours.isupper() and theirs.islower()
    if last:
        return
    for kind, counter in (("end", counts.ends), ("weak", counts.weak)):
        if kind in (got.mark, expected.mark):
            outcome = "right" if got.mark == expected.mark else "false" if got.mark == kind else "missing"
            counter[outcome] += 1
    if got.mark == "end" != expected.mark:
        counts.shown.append(" ".join(token.written for token in (got, *following)))


def first_letter(written: str) -> str:
    """The first letter of a word, "" where it has none."""
    return next((c for c in written if c.isalpha()), "")


def scores(counter: Counter[str]) -> str:
    """Precision, recall and F1 in percent."""
    right, false, missing = counter["right"], counter["false"], counter["missing"]
    precision = 100 * right / (right + false) if right + false else 0.0
    recall = 100 * right / (right + missing) if right + missing else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return f"P {precision:5.1f} R {recall:5.1f} F1 {f1:5.1f}"


if __name__ == "__main__":
    main()

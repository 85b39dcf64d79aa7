"""How a subtitler would judge cues: python -m benchmarks.subtitles FILE.srt|FILE.json ... [--line 42] [--cps 17]

Of an .srt file the cues are read as they stand; of a .json of ours they are made with the options given, so that a
change of the cutter can be measured without recognising again. The judge shares no code and no words with the cutter.

    torn      a cue has the end of a sentence inside and does not end with one
    function  a cue ends with an article, a preposition, a pronoun or the like (en, de), without a stop
    1st line  the same of the first line of two
    gaps      0; under 80 ms (2 frames at 25 a second: a flicker); under half a second
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from autorag_whisper.format import parse, render
from autorag_whisper.format.options import SubtitleOptions

ENGLISH = (
    "the a an of to in on at by for with from into and or but that which who as if than is are was were be been he she "
    "it they we you i this his her their my your our its not no so"
)
GERMAN = "der die das den dem des ein eine einen einem eines einer und oder mit von zu im in auf für ist sind nicht als"
FUNCTION_WORDS = frozenset((ENGLISH + " " + GERMAN).split())
ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Prof|e\.g|i\.e)\.")


@dataclass(frozen=True, slots=True)
class ShownCue:
    start_s: float
    end_s: float
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.lines)

    @property
    def cps(self) -> float:
        return len(self.text) / (self.end_s - self.start_s)


@dataclass(frozen=True, slots=True)
class Judgement:
    """How many of the cues have each fault."""

    cues: int
    fast: int
    short: int
    long: int
    wide: int
    torn: int
    function: int
    first_line: int
    chained: int
    flicker: int
    narrow_gap: int

    def __str__(self) -> str:
        return (
            f"{self.cues} cues; fast {self.fast}, under 1 s {self.short}, over 7 s {self.long}, wide {self.wide}; "
            f"torn {self.torn}, function word at the end {self.function}, of the first line {self.first_line}; "
            f"gaps: 0 {self.chained}, under 80 ms {self.flicker}, under 0.5 s {self.narrow_gap}"
        )


def read_srt(text: str) -> list[ShownCue]:
    cues = []
    for block in re.split(r"\n\s*\n", text.strip()):
        _, times, *lines = block.split("\n")
        start, end = times.split(" --> ")
        cues.append(ShownCue(_seconds(start), _seconds(end), tuple(lines)))
    return cues


def judge(cues: list[ShownCue], *, line: int = 42, cps: float = 17) -> Judgement:
    gaps = [later.start_s - earlier.end_s for earlier, later in pairwise(cues)]
    return Judgement(
        cues=len(cues),
        fast=sum(cue.cps > cps + 0.01 for cue in cues),
        short=sum(cue.end_s - cue.start_s < 0.999 for cue in cues),
        long=sum(cue.end_s - cue.start_s > 7.001 for cue in cues),
        wide=sum(len(text) > line for cue in cues for text in cue.lines),
        torn=sum(map(is_torn, cues)),
        function=sum(ends_in_function_word(cue.text) for cue in cues),
        first_line=sum(len(cue.lines) > 1 and ends_in_function_word(cue.lines[0]) for cue in cues),
        chained=sum(abs(gap) < 0.001 for gap in gaps),
        flicker=sum(0.001 < gap < 0.0795 for gap in gaps),
        narrow_gap=sum(0.001 < gap < 0.4995 for gap in gaps),
    )


def is_torn(cue: ShownCue) -> bool:
    text = ABBREVIATION.sub("", cue.text)
    return re.search(r"[.!?] +\S", text) is not None and re.search(r"[.!?][\"”']?$", text) is None


def ends_in_function_word(text: str) -> bool:
    last = text.rsplit(maxsplit=1)[-1] if text.split() else ""
    return re.search(r"[.,;:!?]$", last) is None and re.sub(r"\W", "", last).lower() in FUNCTION_WORDS


def cues_of(path: Path, options: SubtitleOptions) -> list[ShownCue]:
    if path.suffix == ".json":
        return read_srt(render(parse(path.read_bytes(), name=path.name), "srt", options))
    return read_srt(path.read_text(encoding="utf-8"))


def _seconds(stamp: str) -> float:
    hours, minutes, seconds = stamp.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--line", type=int, default=42)
    parser.add_argument("--cps", type=float, default=17)
    given = parser.parse_args()
    options = SubtitleOptions(line_length=given.line, reading_speed=given.cps)
    for path in given.files:
        cues = cues_of(path, options)
        print(f"{path.name}: {judge(cues, line=given.line, cps=given.cps)}")
        for cue in [cue for cue in cues if is_torn(cue) or ends_in_function_word(cue.text)][:6]:
            print(f"    {cue.start_s:.2f}-{cue.end_s:.2f} {' / '.join(cue.lines)}")


if __name__ == "__main__":
    main()

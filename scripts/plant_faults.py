#!/usr/bin/env python3
"""Plant one-line faults in the aligners, one at a time, and see whether the quick tests notice.

    .venv/bin/python scripts/plant_faults.py [PART OF A FILE'S NAME]

Works on a copy of `src/`; a fault that no test notices is printed with its line, and the exit code is 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = (
    "tests/unit/test_characters.py",
    "tests/unit/test_letters.py",
    "tests/unit/test_letter_path.py",
    "tests/unit/test_unspoken.py",
    "tests/unit/test_pauses.py",
    "tests/unit/test_edges.py",
    "tests/property/test_edges.py",
    "tests/unit/test_words.py",
    "tests/property/test_words_apart.py",
    "tests/unit/test_spelling.py",
    "tests/unit/test_squeezed.py",
    "tests/unit/test_ctc.py",
    "tests/unit/test_alignment.py",
    "tests/unit/test_text_normalization.py",
    "tests/unit/test_small_vocabulary.py",
    "tests/integration/test_ctc_alignment.py",
    "tests/property/test_characters.py",
    "tests/property/test_letter_path.py",
    "tests/integration/test_speller.py",
    "tests/integration/test_transcriber.py",
)
OFF = ("-p", "no:cacheprovider", "-p", "no:randomly")
"""In the order above, the quickest first: most faults are noticed early."""

FAULTS = (
    # file, what stands there, what is put in its place
    ("align/characters.py", "first=starts[firsts] - late_s", "first=starts[firsts]"),
    ("align/characters.py", "second=starts[firsts + 1] - late_s", "second=starts[firsts] - late_s"),
    ("align/characters.py", "end=starts[stops] + END_EARLY_S", "end=starts[stops]"),
    ("align/characters.py", "first - len(space) for first in firsts[1:]", "first for first in firsts[1:]"),
    ("align/characters.py", "if len(spelled.token_ids) <= MAX_TOKENS", "if len(spelled.token_ids) <= 2 * MAX_TOKENS"),
    ("align/characters.py", 'if kind == "M" and held', 'if kind == "M" and not held'),
    ("align/characters.py", "max(tokens, default=0) < below", "max(tokens, default=0) <= below"),
    ("align/letters.py", "np.split(self.hidden_weights, 3)", "np.split(self.hidden_weights[::-1], 3)"),
    ("align/letters.py", "[[0, *range(len(frames) - 1)], :hidden_size]", "[[*range(len(frames))], :hidden_size]"),
    ("align/letters.py", "- self.mean) / self.spread", "- self.mean) * self.spread"),
    ("align/letters.py", "np.maximum(hidden, 0.0, out=hidden)", "pass"),
    ("align/letter_text.py", "unknown > (1 - _LEAST_KNOWN)", "unknown < (1 - _LEAST_KNOWN)"),
    ("align/letter_text.py", 'normalize("NFKD"', 'normalize("NFC"'),
    ("align/letter_text.py", "(symbol, word, len(ways) == 1)", "(symbol, word, True)"),
    ("align/letter_text.py", "if found[-1:] != [ANY]", "if found[-1:] == [ANY]"),
    ("align/letter_text.py", "chr(ord(character) - 0x60)", "character"),
    ("align/letter_path.py", "likely[:, SILENCE, np.newaxis] + hush", "likely[:, SILENCE, np.newaxis]"),
    ("align/letter_path.py", "= speech - _FOREIGN", "= speech - 10 * _FOREIGN"),
    ("align/letter_path.py", "= speech - _ANY", "= likely[:, :1]"),
    ("align/letter_path.py", "toll = (paid[1:-1] + entry[1:])", "toll = paid[1:-1]"),
    ("align/letter_path.py", "best[0] = emitted[0] - paid[:-1] - entry", "best[0] = emitted[0]"),
    ("align/letter_path.py", "np.argmax(best[-1] + paid[1:])", "np.argmax(best[-1])"),
    ("align/letter_path.py", "at = int(frames[-1]) + 1", "at = int(frames[-1])"),
    ("align/letter_path.py", "chosen[word] = max(found", "chosen[word] = min(found"),
    ("align/letter_path.py", "    _halve_shared_letters(spans, symbols)\n", "\n"),
    ("align/onsets.py", "known.get(word.lower(), word)", "known.get(word, word)"),
    ("align/letter_edges.py", "starts[after] = last_s", "starts[after] = first_s"),
    ("align/letter_edges.py", "ends[:-1] = np.minimum(ends[:-1], starts[1:])", "pass"),
    ("align/letter_edges.py", "and not any(start < last_s", "and any(start < last_s"),
    ("recognition/letter_alignment.py", "path.spans * ENCODER_FRAME_S", "path.spans * 2 * ENCODER_FRAME_S"),
    ("recognition/letter_alignment.py", "(start_s + float(begin), start_s", "(float(begin), start_s"),
    ("recognition/letter_alignment.py", "Unspoken(start_s + begin", "Unspoken(begin"),
    ("align/unspoken.py", "(quiet < _LOUD) & ", ""),
    ("align/unspoken.py", " & (heard[:, SILENCE] < np.log(_SILENT))", ""),
    ("align/unspoken.py", "sounds[first:stop] = True", "pass"),
    ("align/unspoken.py", "~_within(words", "_within(words"),
    ("align/unspoken.py", "_within(speech, len(heard), frame_s) & ", ""),
    ("recognition/alignment.py", "output[group[n].row]", "output[0]"),
    ("recognition/alignment.py", "output[: (one.frames + 1) // 2]", "output"),
    ("align/pauses.py", "np.maximum(loud - _DEPTH_DB, floor", "np.minimum(loud - _DEPTH_DB, floor"),
    ("align/pauses.py", "[tells].max(axis=0)", "[tells].min(axis=0)"),
    ("align/pauses.py", "[tells].max(axis=0)", ".max(axis=0)"),
    ("align/pauses.py", "return end_s - start_s > _VETO_S and", "return end_s - start_s < _VETO_S and"),
    ("align/edges.py", "second - _LETTER_S, first)", "second, first)"),
    ("align/edges.py", "if stop - start < _ASTRAY_WORDS", "if stop - start <= _ASTRAY_WORDS"),
    ("align/edges.py", "off[grid.stretch]", "0.0"),
    ("align/edges.py", "np.maximum(seen.tails[word - 1] - grid.moments, 0.0)", "0.0"),
    ("align/edges.py", "0.0 if word in seen.marked else _NO_MARK_S", "_NO_MARK_S"),
    ("align/edges.py", "clock.at(path.first) - clock.at(tokens_s[:, 0])", "path.first - tokens_s[:, 0]"),
    ("align/edges.py", "rooms[first : first + _SPOT_WORDS] = LEAST_S", "pass"),
    ("align/edges.py", "return count if len(seen.starts) - count > 1", "return count if len(seen.starts) - count > 9"),
    ("align/edges.py", "moved[word] = point", "pass"),
    ("align/edges.py", "length = 0 if word in seen.several", "length = 0 if word not in seen.several"),
    ("align/edges.py", "clock.seconds(ends, behind=False)", "clock.seconds(ends, behind=True)"),
    ("align/edges.py", "clock.seconds(starts, behind=True)", "clock.seconds(starts, behind=False)"),
    ("align/words.py", "place.clamp(end_s)", "end_s"),
    ("align/words.py", "earliest_s = starts[-1] + least_s", "earliest_s = starts[-1]"),
    ("align/words.py", "latest_s = begins_s", "pass"),
    ("align/words.py", "min(start_s, latest_s - least_s)", "start_s"),
    ("align/words.py", "left -= stop - start", "left -= start"),
    ("align/tokens.py", "if _REPLACEMENT in text and", "if not text and"),
    ("align/ctc.py", "(edges[1:, 0] + edges[:-1, 1]) / 2", "edges[1:, 0]"),
    ("align/ctc.py", "barrier[3::2][again] = -np.inf", "barrier[3::2][again] = 0.0"),
    ("align/ctc.py", "count - 1 if score[-1] > score[-2] else count - 2", "count - 1"),
    ("align/ctc.py", "moved[frame] = np.packbits(above > score)", "moved[frame] = np.packbits(above < score)"),
    ("align/ctc.py", "np.float32(_WILDCARD_PRICE)", "np.float32(0.0)"),
    ("align/ctc.py", 'np.searchsorted(path, 2 * stops - 1, side="right")', "np.searchsorted(path, 2 * stops - 1)"),
    ("recognition/alignment.py", "times.starts.astype(np.float64) * ENCODER_FRAME_S, heads", "times.starts, heads"),
    ("recognition/alignment.py", "spans = one.chunk.start_s + word_spans", "spans = word_spans"),
    ("recognition/alignment.py", "np.asarray(by_tokens) - one.chunk.start_s", "np.asarray(by_tokens)"),
    ("recognition/alignment.py", "(one.chunk.start_s + early_s)", "(one.chunk.start_s - early_s)"),
    ("recognition/ctc_alignment.py", "offset_s + time.start_s", "time.start_s"),
)


def main() -> int:
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source)
        if not _pass(source):
            sys.exit("the tests fail without any fault")
        missed = [fault for fault in FAULTS if only in fault[0] and not _noticed(source, *fault)]
    chosen = sum(only in file for file, *_ in FAULTS)
    print(f"{chosen - len(missed)} of {chosen} faults noticed")
    return 1 if missed else 0


def _noticed(source: Path, file: str, right: str, wrong: str) -> bool:
    path = source / "autorag_whisper" / file
    text = path.read_text(encoding="utf-8")
    if text.count(right) != 1:
        sys.exit(f"{file}: {right!r} stands there {text.count(right)} times, not once")
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    try:
        noticed = not _pass(source)
    finally:
        path.write_text(text, encoding="utf-8")
    print(
        f"{'noticed' if noticed else 'MISSED '} {file}: {right.strip()}  ->  {wrong.strip() or '(nothing)'}", flush=True
    )
    return noticed


def _pass(source: Path) -> bool:
    environ = os.environ | {"PYTHONPATH": str(source)}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow", *OFF, *TESTS]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Plant one-line faults, one at a time, and see whether the quick tests notice.

    .venv/bin/python scripts/plant_faults.py [PART OF A FILE'S NAME]

What is planted stands in `planted_faults.py`: faults in the aligners, in what finds speech without words and does
something about it, in the rules against text that nobody said and for languages, and in what keeps NumPy on one thread.
Works on a copy of `src/`; a fault that no test notices is printed with its line, and the exit code is 1.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings

from planted_faults import FAULTS

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]
NEAREST = {
    "recognition/holes.py": (
        "unit/test_holes.py",
        "unit/test_coverage.py",
        "unit/test_parts.py",
        "integration/test_parts_runs.py",
    ),
    "recognition/parts.py": (
        "unit/test_parts.py",
        "integration/test_parts_runs.py",
        "integration/test_language_changes_runs.py",
    ),
    "recognition/rival_languages.py": ("unit/test_rival_languages.py",),
    "recognition/recognise.py": ("unit/test_rival_languages.py",),
    "recognition/language_changes.py": ("unit/test_language_changes.py", "integration/test_language_changes_runs.py"),
    "blas_threads.py": ("integration/test_blas_threads.py",),
    "recognition/sentence_ends.py": ("unit/test_sentence_ends.py",),
    "recognition/border_hearing.py": ("unit/test_sentence_ends.py",),
    "recognition/borders.py": ("unit/test_sentence_ends.py", "unit/test_borders.py"),
    "recognition/recognizer.py": ("unit/test_sentence_ends.py",),
    "recognition/windows.py": ("unit/test_parts.py", "integration/test_parts_runs.py"),
    "recognition/loops.py": ("unit/test_loops.py", "unit/test_hallucinations.py"),
    "recognition/pace.py": ("unit/test_pace.py", "unit/test_loops.py"),
    "recognition/unsaid.py": ("unit/test_unsaid.py", "unit/test_squeezed.py"),
    "recognition/hallucinations.py": ("unit/test_squeezed.py", "unit/test_hallucinations.py"),
    "transcriber/assembly.py": ("unit/test_coverage.py",),
    "recognition/letter_alignment.py": (
        "unit/test_unheard_repeats.py",
        "integration/test_unheard_repeats_runs.py",
        "unit/test_alignment.py",
    ),
    "recognition/alignment.py": ("unit/test_alignment.py",),
    "recognition/judging.py": ("unit/test_unheard_repeats.py", "integration/test_unheard_repeats_runs.py"),
    "align/onset_spelling.py": ("unit/test_letter_path.py",),
    "align/letter_edges.py": ("unit/test_letter_path.py", "property/test_letter_path.py"),
    "align/letter_search.py": ("unit/test_letter_path.py", "property/test_letter_path.py"),
    "align/held_letters.py": ("unit/test_letter_path.py", "property/test_letter_path.py"),
    "align/letter_repeats.py": ("property/test_letter_repeats.py", "unit/test_unheard_repeats.py"),
    "align/letter_path.py": ("unit/test_letter_path.py", "property/test_letter_path.py"),
    "align/letter_text.py": ("unit/test_letter_path.py", "unit/test_letters.py"),
    "align/letters.py": ("unit/test_letters.py",),
    "align/best_path.py": ("unit/test_letter_path.py", "property/test_letter_path.py"),
    "align/characters.py": ("unit/test_characters.py", "property/test_characters.py"),
    "align/edges.py": ("unit/test_edges.py", "property/test_edges.py"),
    "align/words.py": ("unit/test_words.py", "property/test_words_apart.py"),
    "align/pauses.py": ("unit/test_pauses.py",),
    "align/hidden_edges.py": ("unit/test_hidden_edges.py",),
    "align/reverberation.py": ("unit/test_reverberation.py", "property/test_reverberation.py"),
    "align/unspoken.py": ("unit/test_unspoken.py",),
    "align/ctc.py": ("unit/test_ctc.py", "integration/test_ctc_alignment.py"),
    "align/romanization.py": ("unit/test_romanization.py",),
}
"""The tests that are asked first about a fault in a file; whatever they do not notice, `TESTS` are asked about."""
TESTS = (
    "unit/test_characters.py",
    "unit/test_letters.py",
    "unit/test_letter_path.py",
    "unit/test_unspoken.py",
    "unit/test_pauses.py",
    "unit/test_hidden_edges.py",
    "unit/test_reverberation.py",
    "property/test_reverberation.py",
    "unit/test_edges.py",
    "property/test_edges.py",
    "unit/test_words.py",
    "property/test_words_apart.py",
    "unit/test_spelling.py",
    "unit/test_squeezed.py",
    "unit/test_ctc.py",
    "unit/test_alignment.py",
    "unit/test_text_normalization.py",
    "integration/test_small_vocabulary.py",
    "integration/test_ctc_alignment.py",
    "property/test_characters.py",
    "property/test_letter_path.py",
    "integration/test_speller.py",
    "unit/test_romanization.py",
    "unit/test_coverage.py",
    "unit/test_loops.py",
    "unit/test_pace.py",
    "unit/test_unsaid.py",
    "unit/test_hallucinations.py",
    "unit/test_unheard_repeats.py",
    "integration/test_unheard_repeats_runs.py",
    "unit/test_rival_languages.py",
    "unit/test_language_changes.py",
    "integration/test_language_changes_runs.py",
    "unit/test_holes.py",
    "unit/test_parts.py",
    "unit/test_sentence_ends.py",
    "unit/test_borders.py",
    "integration/test_parts_runs.py",
    "integration/test_transcriber.py",
)
OFF = ("-p", "no:cacheprovider", "-p", "no:randomly", "--hypothesis-profile=faults")
"""In the order above, the quickest first: most faults are noticed early."""


def main() -> int:
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [fault for fault in FAULTS if only in fault[0]]
    _preload()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source)
        _check(source, chosen)
        missed = [fault for fault in chosen if not _noticed(source, *fault)]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} faults noticed")
    return 1 if missed else 0


def _check(source: Path, chosen: list[tuple[str, str, str]]) -> None:
    """Whether every fault has its one place, and the tests nearest to it notice nothing where there is none."""
    for file, right, _ in chosen:
        if (count := (source / "autorag_whisper" / file).read_text(encoding="utf-8").count(right)) != 1:
            sys.exit(f"{file}: {right!r} stands there {count} times, not once")
    for tests in {NEAREST.get(file, TESTS) for file, *_ in chosen}:
        if not _pass(source, tests):
            sys.exit(f"tests fail without any fault: {' '.join(tests)}")


def _noticed(source: Path, file: str, right: str, wrong: str) -> bool:
    path = source / "autorag_whisper" / file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    try:
        nearest = NEAREST.get(file, ())
        noticed = bool(nearest) and not _pass(source, nearest)
        noticed = noticed or not _pass(source, [test for test in TESTS if test not in nearest])
    finally:
        path.write_text(text, encoding="utf-8")
    print(
        f"{'noticed' if noticed else 'MISSED '} {file}: {right.strip()}  ->  {wrong.strip() or '(nothing)'}", flush=True
    )
    return noticed


def _pass(source: Path, tests: Sequence[str]) -> bool:
    """Whether `tests` pass over the code in `source`: in a fork of this process, which has imported what they need."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    os.chdir(ROOT)
    os.environ["PYTHONPATH"] = str(source)
    sys.path.insert(0, str(source))
    os._exit(pytest.main(["-q", "-x", "-m", "not slow", *OFF, *(f"tests/{test}" for test in tests)]))


def _preload() -> None:
    """Import what takes long, and nothing of the code in which faults are planted."""
    for name in ("numpy", "hypothesis.strategies", "av", "ctranslate2", "onnxruntime", "tokenizers"):
        importlib.import_module(name)
    settings.register_profile(
        "faults", derandomize=True, deadline=None, database=None, phases=(Phase.explicit, Phase.generate)
    )


if __name__ == "__main__":
    sys.exit(main())

"""In which language speech is recognised: seconds in another one than was spoken.

    .venv/bin/python benchmarks/languages.py FOLDER [--model base] [--match TEXT] [--json FILE]

FOLDER: what `make_language_joins.py` wrote, or a folder of the kit, whose files are in one language each.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from autorag_whisper import build_transcriber


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="base")
    parser.add_argument("--match", default="", help="only files whose name holds this")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    lines = (arguments.folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if arguments.match in row["path"]]
    found = []
    with build_transcriber() as transcriber:
        for row in rows:
            transcript = transcriber.transcribe(arguments.folder / row["path"], model=arguments.model)
            found.append(counted(row, transcript))
            print(json.dumps(found[-1]), flush=True)
    total = {name: round(sum(one[name] for one in found), 1) for name in ("said_s", "wrong_s", "switched")}
    print(json.dumps(total))
    if arguments.json:
        arguments.json.write_text(json.dumps({"total": total, "files": found}, indent=1) + "\n")


def counted(row: dict[str, Any], transcript: Any) -> dict[str, Any]:
    """Seconds of a file's words, those in another language than was spoken, and how often the language changes."""
    spoken = row.get("turns") or [{"language": row["language"].split("-")[0], "start_s": 0.0, "end_s": 1e9}]
    said, wrong = 0.0, defaultdict[str, float](float)
    for segment in transcript.segments:
        for word in segment.words:
            middle = (word.start_s + word.end_s) / 2
            true = next((turn["language"] for turn in reversed(spoken) if turn["start_s"] <= middle), "")
            said += word.end_s - word.start_s
            if true != segment.language:
                wrong[f"{true} as {segment.language}"] += word.end_s - word.start_s
    languages = [segment.language for segment in transcript.segments]
    return {
        "path": row["path"],
        "said_s": said,
        "wrong_s": sum(wrong.values()),
        "wrong": {what: round(seconds, 1) for what, seconds in wrong.items()},
        "switched": sum(a != b for a, b in itertools.pairwise(languages)),
        "turns": " ".join(turn["language"] for turn in spoken),
        "found": " ".join(dict.fromkeys(languages)),
        "notes": [note.text for note in transcript.notes],
    }


if __name__ == "__main__":
    main()

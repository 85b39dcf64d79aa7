"""What the steps share: where they run, what they have at hand, and the rows that they leave."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autorag_whisper.transcriber.transcriber import Transcriber

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "samples" / "demo.flac"
MIB = 1 << 20


class NotHereError(Exception):
    """A step, or a part of it, cannot run here: why."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `verdict`: ok, MISSED, "" for a figure without a goal, or "not run"."""

    step: str
    what: str
    found: str
    verdict: str = ""


@dataclass(frozen=True)
class Day:
    """`device`: "cuda" or "cpu". `work`: models, recordings, results. `tiny`: sizes for a CPU."""

    device: str
    work: Path
    step: str
    tiny: bool = False

    @property
    def is_card(self) -> bool:
        """Whether there is a card to be measured."""
        return self.device.startswith("cuda")

    @property
    def models(self) -> Path:
        """Folders of models by name."""
        return self.work / "models"

    def model(self, name: str) -> str:
        """The folder of a model that was carried or made, else the name."""
        folder = self.models / name
        return str(folder) if folder.is_dir() else name

    @property
    def recordings(self) -> list[dict[str, object]]:
        """What was carried with its truth, as in the manifest; the sample where nothing was."""
        manifest = self.work / "kit" / "manifest.jsonl"
        if not manifest.is_file():
            return [{"path": str(SAMPLE), "language": "en", "text": ""}]
        rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
        found = [row | {"path": str(self.work / "kit" / row["path"])} for row in rows]
        return found[:3] if self.tiny else found

    @property
    def long_recording(self) -> str:
        """Minutes of speech; the sample in a tiny run."""
        return str(SAMPLE) if self.tiny else max((str(row["path"]) for row in self.recordings), key=os.path.getsize)

    def transcriber(self, **variables: str) -> Transcriber:
        """One of its own, with settings by variables of the environment."""
        from autorag_whisper.bootstrap import build_transcriber
        from autorag_whisper.settings import Settings

        environ = {**os.environ, **variables}
        return build_transcriber(Settings.from_env(environ), environ=environ)

    @cached_property
    def _out(self) -> Path:
        folder = self.work / "results"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{self.step.replace(' ', '_').replace(',', '').replace(chr(39), '')}.jsonl"

    def forget(self) -> None:
        """Drop what an earlier try at this step left."""
        self._out.unlink(missing_ok=True)

    def tell(self, what: str, found: str, *, ok: bool | None = None) -> None:
        """Leave a row, at once, so that a step that is cut short keeps what it has."""
        verdict = "" if ok is None else "ok" if ok else "MISSED"
        self._leave(Row(self.step, what, found, verdict))

    def skip(self, what: str, reason: str) -> None:
        """Leave a row that says why something was not run."""
        self._leave(Row(self.step, what, reason, "not run"))

    def _leave(self, row: Row) -> None:
        with self._out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
        print(f"| {row.step} | {row.what} | {row.found} | {row.verdict} |", flush=True)

    def free_bytes(self) -> int:
        """Bytes free on the card, by its driver; NotHereError where there is none."""
        if not self.is_card:
            raise NotHereError("needs a card")
        import pynvml

        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).free)

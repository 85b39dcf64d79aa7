"""Which device and compute type: a pure function whose answer has a reason.

Who decides the device, the first that applies:

```
operator's cpu            -> CPU
pin after a failure       -> CPU
a hint nobody understands -> CPU
hint cpu                  -> CPU
hint cuda, cuda:N         -> CUDA where it works, else the CPU
operator's cuda, auto     -> CUDA where it works, else the CPU
```
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autorag_whisper.domain.device import CPU, CUDA, Device, Placement, parse_device
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.notes import Note, NoteKind
from autorag_whisper.domain.unicode import exact
from autorag_whisper.settings import COMPUTE_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from autorag_whisper.domain.device import CpuPin, Hardware

HINTS = "None, auto, cpu, cuda or cuda:N"
SETTINGS = ("auto", "cuda", "cpu")

_DEFAULT = "default"
_CUDA_PREFERENCE = ("float16", "int8_float16", "bfloat16", "int8_float32", "int8", "float32")
_CPU_PREFERENCE = ("int8", "int8_float32", "float32")


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """What was asked for: everything that the decision depends on, but for the hardware.

    `hint` is the caller's, `setting` the operator's AUTORAG_WHISPER_DEVICE, both as they were written.
    """

    hint: object = None
    setting: str = ""
    compute_type: str = _DEFAULT
    pinned: CpuPin | None = None

    def __post_init__(self) -> None:
        if self.compute_type not in COMPUTE_TYPES:
            raise InvalidOption("compute type", self.compute_type, ", ".join(COMPUTE_TYPES))


@dataclass(frozen=True, slots=True)
class Choice:
    """A device with its reason. `demanded`: someone named this device, so it must suit the rest of what they want."""

    device: Device
    reason: str
    demanded: bool = False


def place(request: PlacementRequest, hardware: Hardware) -> Placement:
    """Decide.

    Raises:
        InvalidOption: where device and compute type were both asked for and do not go together. On a device that nobody
            asked for, the device's default is taken instead, and the reason says so.
    """
    choice = choose_device(request, hardware)
    compute_type, note = _choose_compute_type(request.compute_type, choice, hardware)
    placement = Placement(choice.device, compute_type, "; ".join(filter(None, (choice.reason, note))))
    return replace(placement, notes=tuple(_unmet(request, choice, placement)))


def _unmet(request: PlacementRequest, choice: Choice, placement: Placement) -> Iterator[Note]:
    """A note for each thing that was asked for and is not what was placed, with the reason."""
    asked = (
        ""
        if _is_policy(request.hint)
        else shown(request.hint)
        if bad_hint(request.hint)
        else _normal(str(request.hint))
    )
    if not asked and _normal(request.setting) == "cuda":
        asked = "AUTORAG_WHISPER_DEVICE=cuda"
    wants_cpu = asked == "cpu" or (not asked and _normal(request.setting) == "cpu")
    if not choice.device.is_cuda and not wants_cpu and (asked or request.pinned is not None):
        instead = f"instead of {asked}" if asked else "instead of a GPU"
        yield Note(NoteKind.DEVICE_NOT_USED, f"on the CPU {instead}: {choice.reason}")
    if request.compute_type not in (_DEFAULT, placement.compute_type):
        used = f"{placement.effective_compute_type} instead of {request.compute_type}"
        yield Note(NoteKind.COMPUTE_TYPE_NOT_USED, f"{used}, which {choice.device} does not offer")


def bad_hint(hint: object) -> bool:
    """Whether the hint is invalid. It may be of any type: callers pass what they like."""
    return not _is_policy(hint) and (not isinstance(hint, str) or parse_device(hint) is None)


def hint_text(hint: object) -> str | None:
    """A hint as text that can be stored, compared and sent to another process; None stays None.

    A hint that is not a string becomes a text that is no valid hint, so that it is warned about like any other.
    """
    if hint is None or isinstance(hint, str):
        return None if hint is None else exact(hint)
    return f"{type(hint).__name__} {shown(hint)}"


def meaning_of(hint: str | None) -> str:
    """The normal form of a hint: "auto", "cpu", "cuda" or "cuda:N". Two hints with the same one place a model alike.

    An invalid hint has a form of its own, though it means the CPU too: its reason and its warning differ.
    """
    if _is_policy(hint):
        return "auto"
    device = parse_device(hint or "")
    return str(device) if device is not None else f"unknown: {shown(hint)}"


def bad_setting(setting: str) -> bool:
    """Whether AUTORAG_WHISPER_DEVICE has a value that is then treated as `auto`."""
    return _normal(setting) not in ("", *SETTINGS)


def choose_device(request: PlacementRequest, hardware: Hardware) -> Choice:
    """The device alone: never fails."""
    if _normal(request.setting) == "cpu":
        return Choice(CPU, "AUTORAG_WHISPER_DEVICE=cpu", demanded=True)
    if request.pinned is not None:
        return Choice(CPU, f"kept on the CPU since a failure: {request.pinned.reason}")
    if bad_hint(request.hint):
        return Choice(CPU, f"device hint {shown(request.hint)} is not one of {HINTS}")
    hinted = parse_device(request.hint) if isinstance(request.hint, str) else None
    if hinted == CPU:
        return Choice(CPU, "asked for by the caller", demanded=True)
    return _cuda_or_cpu(hinted, _normal(request.setting) == "cuda", hardware)


def shown(value: object) -> str:
    """A caller's value for log and reason: quoted, on one line, of bounded length."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # noqa: BLE001 - any object may come here, and its `repr` may do anything
        text = f"of type {type(value).__name__}"
    return text if len(text) <= 40 else f"{text[:37]}..."


def _cuda_or_cpu(hinted: Device | None, operator_wants_it: bool, hardware: Hardware) -> Choice:
    device, count = hinted or CUDA, hardware.cuda_devices
    if count < 1:
        return Choice(CPU, f"no CUDA: {hardware.problem or 'no device found'}")
    if device.index >= count:
        return Choice(CPU, f"{device} was asked for, CUDA devices here: {count}")
    if not hardware.cuda_compute_types.intersection(_CUDA_PREFERENCE):
        return Choice(CPU, f"no CUDA: {hardware.problem or 'no compute type that works'}")
    if hinted is not None:
        return Choice(device, "asked for by the caller", demanded=True)
    if operator_wants_it:
        return Choice(device, "AUTORAG_WHISPER_DEVICE=cuda", demanded=True)
    return Choice(device, f"CUDA devices found: {count}")


def _choose_compute_type(wanted: str, choice: Choice, hardware: Hardware) -> tuple[str, str]:
    """(compute type, what there is to say about it)."""
    on_cuda = choice.device.is_cuda
    preference = _CUDA_PREFERENCE if on_cuda else _CPU_PREFERENCE
    offered = (hardware.cuda_compute_types if on_cuda else hardware.cpu_compute_types) or frozenset(preference)
    if wanted in offered:
        return wanted, ""
    if wanted != _DEFAULT and choice.demanded:
        raise InvalidOption(f"compute type on {choice.device}", wanted, ", ".join(_sorted(offered, preference)))
    best = next((name for name in preference if name in offered), preference[-1])
    if wanted != _DEFAULT:
        return best, f"{best}, as {wanted} is not offered there"
    return best, "" if best == preference[0] else f"{best}, as {preference[0]} is not offered"


def _sorted(offered: frozenset[str], preference: Sequence[str]) -> list[str]:
    return [*(name for name in preference if name in offered), *sorted(offered.difference(preference))]


def _is_policy(hint: object) -> bool:
    return hint is None or (isinstance(hint, str) and _normal(hint) == "auto")


def _normal(text: str) -> str:
    return text.strip().lower()

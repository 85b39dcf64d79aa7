"""Which device and compute type: the contract's sections 1 and 2 as examples, and laws over every request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.device.placement import PlacementRequest, bad_hint, bad_setting, choose_device, place
from autorag_whisper.domain.device import CPU, CUDA, CpuPin, Device, DeviceKind, FailureCause, Hardware
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.settings import COMPUTE_TYPES

CUDA_TYPES = frozenset({"float32", "float16", "bfloat16", "int8", "int8_float32", "int8_float16", "int8_bfloat16"})
CPU_TYPES = frozenset({"float32", "int8", "int8_float32"})
NO_CARD = Hardware(0, frozenset(), CPU_TYPES, "CUDA driver version is insufficient")
TWO_CARDS = Hardware(2, CUDA_TYPES, CPU_TYPES)
OLD_CARD = Hardware(1, frozenset({"float32", "int8", "int8_float32"}), CPU_TYPES)
PIN = CpuPin(FailureCause.STICKY, "cuda failed (sticky): an illegal memory access", None)

hints = st.sampled_from([None, "auto", "AUTO ", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:7", "", "gpu", "mps"])
settings = st.sampled_from(["", "auto", "cuda", " CUDA ", "cpu", "Cpu", "gpu", "cuda:1"])
machines = st.builds(
    Hardware,
    st.integers(0, 3),
    st.frozensets(st.sampled_from(sorted(CUDA_TYPES))),
    st.frozensets(st.sampled_from(sorted(CPU_TYPES))),
    st.sampled_from(["", "no driver"]),
)
wishes = st.builds(PlacementRequest, hints, settings, st.sampled_from(COMPUTE_TYPES), st.sampled_from([None, PIN]))


@pytest.mark.parametrize("setting", ["", "auto", "cuda", " CUDA\n", "Auto"])
@pytest.mark.parametrize("hint", [None, "auto", " Auto "])
def test_the_policy_takes_cuda_where_it_works(setting: str, hint: str | None) -> None:
    placement = place(PlacementRequest(hint, setting), TWO_CARDS)
    assert (placement.device, placement.compute_type) == (CUDA, "float16")
    assert placement.reason


@pytest.mark.parametrize("setting", ["", "auto", "cuda"])
@pytest.mark.parametrize("hint", [None, "auto", "cuda", "cuda:1"])
def test_without_a_card_everything_goes_to_the_cpu_and_the_reason_is_the_engines(setting: str, hint: str) -> None:
    placement = place(PlacementRequest(hint, setting), NO_CARD)
    assert (placement.device, placement.compute_type) == (CPU, "int8")
    assert "CUDA driver version is insufficient" in placement.reason


def test_a_card_that_lists_no_compute_type_that_we_use_is_none() -> None:
    assert place(PlacementRequest("cuda"), Hardware(1, frozenset(), CPU_TYPES)).device == CPU


def test_a_hint_names_the_card() -> None:
    assert place(PlacementRequest("cuda:1"), TWO_CARDS).device == Device(DeviceKind.CUDA, 1)
    assert place(PlacementRequest("CUDA:1 "), TWO_CARDS).device == Device(DeviceKind.CUDA, 1)


def test_a_card_beyond_the_last_one_means_the_cpu_and_the_reason_counts_them() -> None:
    placement = place(PlacementRequest("cuda:2"), TWO_CARDS)
    assert placement.device == CPU
    assert "cuda:2" in placement.reason
    assert "2" in placement.reason.replace("cuda:2", "")


@given(hints, st.sampled_from(["cpu", " CPU "]), machines)
def test_the_operators_cpu_wins_over_any_hint(hint: str | None, setting: str, hardware: Hardware) -> None:
    assert choose_device(PlacementRequest(hint, setting), hardware).device == CPU


@given(hints, settings, machines)
def test_a_pin_wins_over_any_hint_and_setting_and_its_reason_is_given(
    hint: str | None, setting: str, hardware: Hardware
) -> None:
    placement = place(PlacementRequest(hint, setting, pinned=PIN), hardware)
    assert placement.device == CPU
    assert PIN.reason in placement.reason or "AUTORAG_WHISPER_DEVICE=cpu" in placement.reason


@pytest.mark.parametrize(
    "hint", ["", "gpu", "mps", "cuda:", "cuda:-1", "cuda:one", "cuda:٣", "cuda 1", "cpu:0", 0, 1.5]
)
def test_a_hint_that_nobody_understands_means_the_cpu(hint: str) -> None:
    assert bad_hint(hint)
    placement = place(PlacementRequest(hint), TWO_CARDS)
    assert placement.device == CPU
    assert "hint" in placement.reason


@pytest.mark.parametrize("hint", [None, "auto", "cpu", "cuda", "cuda:0", "cuda:17", " CUDA "])
def test_the_hints_of_the_contract_are_understood(hint: str | None) -> None:
    assert not bad_hint(hint)


def test_a_long_or_broken_hint_stays_on_one_short_line_of_the_reason() -> None:
    reason = place(PlacementRequest("x\n" * 1000), TWO_CARDS).reason
    assert "\n" not in reason
    assert len(reason) < 150


@pytest.mark.parametrize("setting", ["gpu", "yes", "cuda:1", "mps", "0"])
def test_a_setting_that_nobody_understands_is_taken_for_auto(setting: str) -> None:
    assert bad_setting(setting)
    assert place(PlacementRequest(None, setting), TWO_CARDS).device == CUDA
    assert place(PlacementRequest(None, setting), NO_CARD).device == CPU


@pytest.mark.parametrize("setting", ["", "  ", "auto", "AUTO", "cuda", "cpu", " cpu\t"])
def test_the_settings_of_the_contract_are_understood(setting: str) -> None:
    assert not bad_setting(setting)


def test_the_default_compute_type_is_the_best_that_the_device_offers() -> None:
    assert place(PlacementRequest(), OLD_CARD).compute_type == "int8_float32"
    assert "float16" in place(PlacementRequest(), OLD_CARD).reason
    assert place(PlacementRequest("cpu"), Hardware(cpu_compute_types=frozenset({"float32"}))).compute_type == "float32"


def test_an_engine_that_does_not_say_what_its_cpu_offers_gets_the_usual() -> None:
    assert place(PlacementRequest(), Hardware()).compute_type == "int8"


@pytest.mark.parametrize(("hint", "setting"), [("cpu", ""), (None, "cpu"), ("cuda", "cpu")])
def test_a_compute_type_that_the_demanded_cpu_lacks_is_refused_and_the_answer_names_what_it_has(
    hint: str | None, setting: str
) -> None:
    with pytest.raises(InvalidOption) as caught:
        place(PlacementRequest(hint, setting, "float16"), TWO_CARDS)
    assert "int8, int8_float32, float32" in str(caught.value)


@pytest.mark.parametrize(("hint", "setting"), [("cuda", ""), ("cuda:0", ""), (None, "cuda")])
def test_a_compute_type_that_the_demanded_card_lacks_is_refused(hint: str | None, setting: str) -> None:
    with pytest.raises(InvalidOption, match="float16"):
        place(PlacementRequest(hint, setting, "float16"), OLD_CARD)


def test_a_compute_type_that_a_device_nobody_asked_for_lacks_gives_way_with_a_reason() -> None:
    on_the_card = place(PlacementRequest(None, "", "float16"), OLD_CARD)
    assert (on_the_card.device, on_the_card.compute_type) == (CUDA, "int8_float32")
    assert "float16" in on_the_card.reason
    for request, hardware in [
        (PlacementRequest("cuda", "", "float16"), NO_CARD),
        (PlacementRequest("cuda", "", "float16", PIN), TWO_CARDS),
        (PlacementRequest("cuda:7", "", "float16"), TWO_CARDS),
        (PlacementRequest(None, "cuda", "float16"), NO_CARD),
    ]:
        fallen_back = place(request, hardware)
        assert (fallen_back.device, fallen_back.compute_type) == (CPU, "int8")
        assert "float16" in fallen_back.reason


def test_a_compute_type_that_exists_nowhere_is_refused_at_once() -> None:
    with pytest.raises(InvalidOption, match="int4"):
        PlacementRequest(compute_type="int4")


@given(wishes, machines)
def test_every_decision_has_a_reason_and_names_a_device_that_is_there_with_a_compute_type_that_it_has(
    request: PlacementRequest, hardware: Hardware
) -> None:
    try:
        placement = place(request, hardware)
    except InvalidOption:
        assert request.compute_type != "default"
        return
    assert placement.reason
    assert "\n" not in placement.reason
    assert placement.device == choose_device(request, hardware).device
    offered = hardware.cpu_compute_types
    if placement.device.is_cuda:
        assert placement.device.index < hardware.cuda_devices
        offered = hardware.cuda_compute_types
    assert placement.compute_type in (offered or CPU_TYPES)
    if request.compute_type in offered:
        assert placement.compute_type == request.compute_type

"""The laws of alignment models over any order of leases, moves and errors, with engines that refuse, aloud or not."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from autorag_whisper.domain.device import CPU, CUDA, Device
from autorag_whisper.domain.errors import DeviceError, EngineError
from autorag_whisper.residency.alignment_models import AlignmentModels
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.testing import FakeEmitter, speech_samples
from examples import examples

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = [(language, device) for language in ("en", "de", "fr") for device in (CPU, CUDA)]
keys = st.sampled_from(KEYS)
WAYS = ("does it", "declines", "raises", "raises its own")


class Stubborn(FakeEmitter):
    """Does what it is told to, says nothing and does not, or raises."""

    def __init__(self, key: tuple[str, Device], ways: dict[str, str]) -> None:
        super().__init__(device=key[1])
        self.key, self._ways, self.in_memory = key, ways, True

    @property
    def is_on_device(self) -> bool:
        return self.in_memory and super().is_on_device

    def offload(self) -> bool:
        return self._done("offload", super().offload)

    def restore(self) -> bool:
        return self._done("restore", super().restore)

    def close(self) -> None:
        assert self.in_memory, "closed twice"
        if (
            not self._done("close", self._leave) and not self.is_on_device
        ):  # nobody could see it: the protocol demands this
            raise EngineError("fake", "close", "it keeps the model in memory")

    def _leave(self) -> bool:
        self.in_memory = False
        self.closed = True
        return True

    def _done(self, what: str, act: Callable[[], bool]) -> bool:
        way = self._ways.get(what, "does it")
        if way == "raises":
            raise EngineError("fake", what, "it keeps the model in memory")
        if way == "raises its own":
            raise RuntimeError("of any runtime")
        return act() if way == "does it" else False


class Machine(RuleBasedStateMachine):
    """Any user, any engine."""

    def __init__(self) -> None:
        super().__init__()
        self.ways: dict[str, str] = {}
        self.made: list[Stubborn] = []
        self.poisoned: set[int] = set()
        self.models = AlignmentModels(self._load, Telemetry(), capacity=2)
        self.leases: list[tuple[ExitStack, Stubborn]] = []

    def _load(self, language: str, device: Device) -> Stubborn:
        self.made.append(Stubborn((language, device), self.ways))
        return self.made[-1]

    @rule(key=keys)
    def lease(self, key: tuple[str, Device]) -> None:
        stack, refused = ExitStack(), key in self.models.refused()
        try:
            emitter = stack.enter_context(self.models.lease(*key, timeout_s=0))
        except EngineError:
            assert refused or self.ways
            return
        assert isinstance(emitter, Stubborn)
        assert emitter.key == key
        assert id(emitter) not in self.poisoned
        self.leases.append((stack, emitter))

    @rule(at=st.integers(0, 100), dies=st.booleans())
    def give_back(self, at: int, dies: bool) -> None:
        if not self.leases:
            return
        stack, emitter = self.leases.pop(at % len(self.leases))
        emitter.emit([speech_samples(1)])
        if dies:
            self.poisoned.add(id(emitter))
            error = DeviceError("cuda", "sticky", "encode: CUDA failed")
            assert not stack.__exit__(DeviceError, error, None)
        else:
            stack.close()

    @rule()
    def another_tenant_wants_the_card(self) -> None:
        left = self.models.offload_idle()
        used = {id(emitter): emitter.key[1].is_cuda for _, emitter in self.leases}
        there = [one for one in self.made if one.key[1].is_cuda and one.is_on_device and id(one) not in used]
        assert left.stuck == sum(used.values()) + len([key for key in self.models.refused() if key[1].is_cuda])
        assert left.stuck or not there

    @rule(what=st.sampled_from(["offload", "restore", "close"]), way=st.sampled_from(WAYS))
    def engine(self, what: str, way: str) -> None:
        self.ways[what] = way

    @invariant()
    def of_a_key_there_is_one_copy_and_one_more_of_a_poisoned_one(self) -> None:
        for key in KEYS:
            copies = [one for one in self.made if one.in_memory and one.key == key]
            assert len(copies) <= 2
            assert len([one for one in copies if id(one) not in self.poisoned]) <= 1
        self.models.check()

    @invariant()
    def what_is_leased_works(self) -> None:
        for _, emitter in self.leases:
            emitter.emit([speech_samples(1)])

    @invariant()
    def what_its_engine_keeps_is_on_the_books(self) -> None:
        used = {id(emitter) for _, emitter in self.leases}
        lost = [one for one in self.made if one.closed is False and one.in_memory and id(one) not in used]
        known = len(self.models._residency._table.all())
        assert len(lost) <= known

    def teardown(self) -> None:
        for stack, _ in self.leases:
            stack.close()
        self.ways.clear()
        assert self.models.close()
        assert not any(one.in_memory for one in self.made)


Machine.TestCase.settings = examples(150, stateful_step_count=25, deadline=None)
TestAlignmentModels = Machine.TestCase


def test_a_model_that_refuses_offload_and_close_is_not_loaded_beside_itself_and_leaves_when_it_can() -> None:
    # It was forgotten and loaded again: four copies in memory after four uses.
    ways, made = {"offload": "raises", "close": "raises"}, list[Stubborn]()

    def load(language: str, device: Device) -> Stubborn:
        made.append(Stubborn((language, device), ways))
        return made[-1]

    models = AlignmentModels(load, Telemetry())
    refusals = 0
    for _ in range(4):
        try:
            with models.lease("en", CUDA):
                pass
        except EngineError:
            refusals += 1
    assert (len(made), refusals) == (1, 3)
    assert models.refused() == (("en", CUDA),)
    assert models.offload_idle().stuck == 1
    ways.clear()
    with models.lease("en", CUDA) as emitter:
        assert emitter is made[1]
    assert not made[0].in_memory
    assert models.refused() == ()


def test_an_offload_that_is_declined_without_a_word_is_noticed() -> None:
    ways, made = {"offload": "declines"}, list[Stubborn]()

    def load(language: str, device: Device) -> Stubborn:
        made.append(Stubborn((language, device), ways))
        return made[-1]

    models = AlignmentModels(load, Telemetry())
    with models.lease("en", CUDA):
        pass
    assert not made[0].in_memory  # the card must come free

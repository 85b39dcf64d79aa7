"""The laws of residency over any order of leases, moves, releases and refusals, one thread at a time."""

from __future__ import annotations

from contextlib import ExitStack

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from autorag_whisper.domain.device import CUDA, ModelKey, OnYield
from autorag_whisper.domain.errors import EngineError, ModelBusy
from autorag_whisper.residency.footprints import Footprints
from autorag_whisper.residency.recognition_models import RecognitionModels
from examples import examples
from residents import Resident, World

ON_CARD = tuple(ModelKey(name, CUDA, "float16") for name in ("tiny", "base", "small", "medium"))
SIZES = dict(zip(ON_CARD, (10, 20, 40, 80), strict=True))
BUDGET = 100
keys = st.sampled_from(ON_CARD)


class Card(World):
    """A world on a card: it knows what is on it, and refuses what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.models: list[Resident] = []
        self.refusing: set[str] = set()
        self.refused: set[ModelKey] = set()  # whose engine did not let go of it
        self.declining = False
        self.before_close = self._close
        self.before_move = lambda _key: self._refuse("move")

    def _close(self, key: ModelKey) -> None:
        self.refused.add(key)
        self._refuse("close")
        self.refused.discard(key)

    def _refuse(self, what: str) -> None:
        if what in self.refusing:
            raise EngineError("ctranslate2", what, "it keeps the model in memory")

    def load(self, key: ModelKey, reason: object) -> Resident:
        super().load(key, reason)  # type: ignore[arg-type]  # it is a reason, whichever
        made = Silent(key, self)
        self.models.append(made)
        return made

    @property
    def used(self) -> int:
        return sum(SIZES[model.key] for model in self.models if model.is_open and not model.is_away)


class Silent(Resident):
    """Declines to move without a word, when it is told to."""

    world: Card

    def offload(self) -> bool:
        return not self.world.declining and super().offload()

    def restore(self) -> bool:
        return not self.world.declining and super().restore()


class Machine(RuleBasedStateMachine):
    """Any user, any policy, an engine that lets go or does not."""

    def __init__(self) -> None:
        super().__init__()
        self.world = Card()
        self.now = 0.0
        self.footprints = Footprints(lambda _device: self.world.used, {CUDA: BUDGET}.get)
        self.residency = RecognitionModels(self.world.load, budget=self.footprints, clock=lambda: self.now)
        self.leases: list[tuple[ExitStack, Resident]] = []

    @rule(key=keys)
    def lease(self, key: ModelKey) -> None:
        stack = ExitStack()
        try:
            model = stack.enter_context(self.residency.lease(key, timeout_s=0))
        except EngineError:
            assert self.world.refusing
            return  # its engine will not let go of it
        except ModelBusy:
            assert any(other.key == key for _, other in self.leases)
            return  # it was evicted and is still leased
        model.use()
        self.leases.append((stack, model))

    @rule(at=st.integers(0, 100))
    def give_back(self, at: int) -> None:
        if self.leases:
            stack, model = self.leases.pop(at % len(self.leases))
            model.use()
            stack.close()

    def on_card(self, but: ModelKey | None = None) -> list[Resident]:
        """Models whose bytes are on the card now."""
        return [m for m in self.world.models if m.is_open and not m.is_away and m.key != but]

    def may_stay(self, model: Resident) -> bool:
        """In use, or its engine does not let go of it."""
        return any(model is leased for _, leased in self.leases) or "close" in self.world.refusing

    @rule(policy=st.sampled_from(OnYield))
    def go_to_another_tenant(self, policy: OnYield) -> None:
        before = self.on_card()
        left = self.residency.yield_device(CUDA, policy)
        after = self.on_card()
        if policy is OnYield.KEEP:
            assert (left.went, left.stuck, after) == (0, 0, before)
        else:
            assert (left.went, left.stuck) == (len(before) - len(after), len(after))
            assert all(self.may_stay(model) for model in after)

    @rule(key=keys)
    def free_others(self, key: ModelKey) -> None:
        before = self.on_card(but=key)
        went = self.residency.free_others(CUDA, key)
        after = self.on_card(but=key)
        assert went == len(before) - len(after)
        assert all(self.may_stay(model) for model in after)

    @rule(key=keys)
    def evict(self, key: ModelKey) -> None:
        going = [m for m in self.on_card() if m.key == key and not self.may_stay(m) and key not in self.world.refused]
        self.residency.evict(key)
        assert not any(m.is_open for m in going)

    @rule(key=keys)
    def release(self, key: ModelKey) -> None:
        held = any(model.key == key for _, model in self.leases)
        try:
            gone = self.residency.release(key, timeout_s=0)
        except EngineError:
            assert "close" in self.world.refusing
            assert not held
        else:
            assert gone is not held
            assert gone == (not self.world.copies[key])

    @rule(seconds=st.floats(0, 100))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds
        before = self.world.in_memory
        assert self.residency.release_unused(50.0) == before - self.world.in_memory

    @rule(what=st.sampled_from(["close", "move"]), refuses=st.booleans())
    def engine(self, what: str, refuses: bool) -> None:
        (self.world.refusing.add if refuses else self.world.refusing.discard)(what)

    @rule(declines=st.booleans())
    def engine_declines_silently(self, declines: bool) -> None:
        self.world.declining = declines

    @invariant()
    def of_a_key_there_is_one_copy_at_most(self) -> None:
        assert self.world.most_copies <= 1
        self.residency.check()

    @invariant()
    def what_is_leased_is_there_to_be_used(self) -> None:
        for _, model in self.leases:
            model.use()

    @invariant()
    def every_byte_is_on_the_books(self) -> None:
        known = {key for key in ON_CARD if self.footprints.of(key) is not None}
        counted = sum(SIZES[m.key] for m in self.world.models if m.is_open and not m.is_away and m.key in known)
        assert self.residency.held_bytes(CUDA) == counted

    def teardown(self) -> None:
        self.world.refusing.clear()
        self.world.declining = False
        for stack, _ in self.leases:
            stack.close()
        assert self.residency.close()
        assert self.world.in_memory == 0


Machine.TestCase.settings = examples(150, stateful_step_count=30, deadline=None)
TestResidency = Machine.TestCase

"""How many engines go onto a Ray cluster, and what each reserves of it. Pure: no cluster is asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_CPUS = 0.1
"""Of a slot, that an engine reserves where there is next to nothing to share."""
_PARTS = 20
"""A card is shared in twentieths: Ray adds fractions up, and these add up to no more than one."""


@dataclass(frozen=True, slots=True)
class Node:
    """What a node of a cluster offers."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class Pool:
    """How many engines there are, and what each reserves. Raises InvalidOption."""

    actors: int
    cpus: float
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.actors < 1:
            raise InvalidOption("--actors", self.actors, "at least 1")
        if self.cpus <= 0 or self.gpus < 0:
            raise InvalidOption("--actor-cpus", self.cpus, "more than 0, and no GPUs less than 0")


def pool_for(nodes: Sequence[Node], actors: int | None, cpus: float | None, gpus: float | None) -> Pool:
    """A pool for a cluster, where not all of it was said.

    Without GPUs an engine uses all cores of its node, so one goes to each. It reserves all but one whole slot, or where
    more are asked for, its part of that: the slot stays free for Ray's own tasks and for decoding. With none free, a
    pool that takes every slot waits for tasks that never run. With GPUs there is an engine for each card, or for each
    part of one where `gpus` is a fraction.
    """
    with_gpu = [node for node in nodes if node.gpus > 0]
    if with_gpu and gpus != 0:
        share = gpus or 1.0
        on_each = [int(node.gpus / share + 1e-9) for node in with_gpu]
        slots = min(1.0, *(_slots(node, engines) for node, engines in zip(with_gpu, on_each, strict=True)))
        return Pool(actors or max(1, sum(on_each)), cpus or slots, share)
    actors = actors or max(1, len(nodes))
    engines = math.ceil(actors / max(1, len(nodes)))
    slots = min((_slots(node, engines) for node in nodes if node.cpus > 0), default=LEAST_CPUS)
    return Pool(actors, cpus or slots, 0.0)


def share_of_card(footprint_bytes: int, card_bytes: int, reserve: float = 0.1) -> float:
    """The part of a card that one engine needs (`--actor-gpus`), in twentieths, rounded up.

    `footprint_bytes`: what an engine takes with its largest batch, as it was measured (`residency.footprints` measures
    the model; add what a batch takes). `reserve`: the part of the card that stays free for the driver and for
    fragmentation. An engine that needs more than half of what is left gets the whole card.

    Raises InvalidOption where it does not fit at all.
    """
    usable = card_bytes * (1.0 - reserve)
    if footprint_bytes <= 0 or footprint_bytes > usable:
        allowed = f"more than 0, and no more than {usable / 1e9:.1f} GB of this card"
        raise InvalidOption("footprint of an engine", footprint_bytes, allowed)
    if footprint_bytes * 2 > usable:
        return 1.0
    return max(1, math.ceil(footprint_bytes / usable * _PARTS - 1e-9)) / _PARTS


def _slots(node: Node, engines: int) -> float:
    """CPU slots of each of several engines on a node, so that one whole slot stays free there."""
    free = max(0.5, node.cpus - 1.0)
    return max(LEAST_CPUS, math.floor(free / max(1, engines) * 100) / 100)

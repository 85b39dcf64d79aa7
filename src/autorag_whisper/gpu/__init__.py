"""One card, several tenants: who may compute on it next, and whose memory leaves it first.

A host that computes on the same card as its transcribers (an LLM, say) takes turns with them like this:

1. `card_arbiter(0)` is the arbiter of CUDA's card 0, the one that transcribers of the same settings use.
2. `register` a tenant: an `LlmTenant` for a server (`llm_server("vllm:http://...")`) or for a model in the host's own
   process (`HostModel`), or a `Tenant` with an `offload` function of its own.
3. `LlmTenant.lease(arbiter, LeaseRequest(...))`, or `arbiter.lease(name, ...)`, is the card for the length of a `with`.
   Before it begins the other tenants' memory leaves the card. `AtDeadline` says what happens if it is not had in time.

Errors: `GpuBusy` at a deadline, `GpuDirectoryUnsafe` where the shared folder cannot be used, `LlmUnreachable` from a
server; all three are UnavailableErrors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.lazy_names import lazy_names

if TYPE_CHECKING:  # the same names as type checkers find them; tests/unit/test_import.py compares the two
    from autorag_whisper.gpu.arbiter.lease import AtDeadline as AtDeadline
    from autorag_whisper.gpu.arbiter.lease import Eviction as Eviction
    from autorag_whisper.gpu.arbiter.lease import GpuArbiter as GpuArbiter
    from autorag_whisper.gpu.arbiter.lease import Lease as Lease
    from autorag_whisper.gpu.arbiter.lease import LeaseRequest as LeaseRequest
    from autorag_whisper.gpu.arbiter.lease import Released as Released
    from autorag_whisper.gpu.arbiter.lease import Tenant as Tenant
    from autorag_whisper.gpu.arbiters import card_arbiter as card_arbiter
    from autorag_whisper.gpu.llm.base import LlmServer as LlmServer
    from autorag_whisper.gpu.llm.release import LlmTenant as LlmTenant
    from autorag_whisper.gpu.llm.servers import HostModel as HostModel
    from autorag_whisper.gpu.llm.spec import llm_server as llm_server
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "autorag_whisper.gpu.arbiter.lease": (
                "AtDeadline",
                "Eviction",
                "GpuArbiter",
                "Lease",
                "LeaseRequest",
                "Released",
                "Tenant",
            ),
            "autorag_whisper.gpu.arbiters": ("card_arbiter",),
            "autorag_whisper.gpu.llm.base": ("LlmServer",),
            "autorag_whisper.gpu.llm.release": ("LlmTenant",),
            "autorag_whisper.gpu.llm.servers": ("HostModel",),
            "autorag_whisper.gpu.llm.spec": ("llm_server",),
        },
    )

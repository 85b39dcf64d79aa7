"""What `gpu.llm.base.LlmServer` promises, of every kind, against servers with their documented bad habits."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.domain.errors import InvalidOption, LlmUnreachable
from autorag_whisper.gpu.arbiter.lease import AtDeadline, Eviction, LeaseRequest, Tenant
from autorag_whisper.gpu.arbiter.threads import ThreadArbiter
from autorag_whisper.gpu.llm.release import LlmTenant, Patience
from autorag_whisper.gpu.llm.servers import Command, HostModel, LlamaCppRouter, LlamaSwap, Ollama, Vllm
from autorag_whisper.gpu.llm.spec import KINDS, llm_server
from llm_servers import FakeLlm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from autorag_whisper.gpu.llm.base import LlmServer

EVERY = {"ollama": Ollama, "vllm": Vllm, "llamacpp": LlamaCppRouter, "llamaswap": LlamaSwap}
MORE = 1 << 30
WANTED = Eviction("whisper", 1 << 30)


class Time:
    """Passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def patience(self) -> Patience:
        return Patience(2.0, lambda: self.now, self.wait)

    def wait(self, seconds: float) -> None:
        self.now += seconds


@contextmanager
def running(habit: str = "") -> Iterator[FakeLlm]:
    llm = FakeLlm(habit)
    try:
        yield llm
    finally:
        llm.close()


@pytest.fixture(params=[*EVERY, "hook"])
def make(request: pytest.FixtureRequest) -> Callable[[FakeLlm], LlmServer]:
    if request.param == "hook":
        return lambda llm: HostModel("mine", llm.unload, llm.load, llm.look)
    return lambda llm: EVERY[request.param](llm.url, "m", 60.0)


@pytest.fixture(params=EVERY)
def make_remote(request: pytest.FixtureRequest) -> Callable[[str], LlmServer]:
    return lambda url: EVERY[request.param](url, "m", 0.3)


def tenant(server: LlmServer, llm: FakeLlm, *, card: bool = True) -> LlmTenant:
    return LlmTenant(server, llm.free if card else lambda: None, Time().patience())


@pytest.mark.parametrize("habit", ["", "late", "revived_once"])
@pytest.mark.parametrize("card", [True, False])
def test_a_model_that_leaves_in_the_end_is_a_verified_release(
    make: Callable[[FakeLlm], LlmServer], habit: str, card: bool
) -> None:
    with running(habit) as llm:
        released = tenant(make(llm), llm, card=card).release(WANTED)
        assert (released.verified, released.keeps_bytes) == (True, 0)
        assert not llm.on_card


@pytest.mark.parametrize(
    ("habit", "note"), [("never", "still loaded"), ("nothing_freed", "card"), ("revived", "brought")]
)
def test_a_release_that_did_not_happen_never_counts(
    make: Callable[[FakeLlm], LlmServer], habit: str, note: str
) -> None:
    with running(habit) as llm:
        released = tenant(make(llm), llm).release(WANTED)
        assert not released.verified
        assert note in released.note
        assert llm.unloads <= 4, "it is left in peace in the end"


def test_what_is_not_loaded_is_not_asked_to_leave(make: Callable[[FakeLlm], LlmServer]) -> None:
    with running() as llm:
        llm.loaded = llm.on_card = False
        assert tenant(make(llm), llm).release(WANTED).verified
        assert llm.unloads == 0


@pytest.mark.parametrize("habit", ["hangs", "garbage", "endless", "error", "no_endpoint"])
def test_a_server_that_misbehaves_is_a_typed_error_and_no_release(
    make_remote: Callable[[str], LlmServer], habit: str
) -> None:
    with running(habit) as llm:
        server = make_remote(llm.url)
        with pytest.raises(LlmUnreachable):
            server.is_loaded()
        released = tenant(server, llm).release(WANTED)
        assert not released.verified
        assert released.note


def test_a_server_that_is_not_there_is_a_typed_error(make_remote: Callable[[str], LlmServer]) -> None:
    with running() as llm:
        url = llm.url
    with pytest.raises(LlmUnreachable, match="AUTORAG_WHISPER_LLM"):
        make_remote(url).is_loaded()


def test_vllm_without_its_developers_mode_says_what_to_start_it_with() -> None:
    with running("no_endpoint") as llm, pytest.raises(LlmUnreachable, match="VLLM_SERVER_DEV_MODE"):
        Vllm(llm.url, timeout_s=60.0).is_loaded()


def test_vllm_is_woken_only_where_it_sleeps() -> None:
    with running() as llm:
        server = Vllm(llm.url, timeout_s=60.0)
        server.ask_back()
        assert llm.asked_back == 0
        server.ask_to_leave()
        server.ask_back()
        assert (llm.asked_back, server.is_loaded()) == (1, True)


def test_a_program_that_cannot_be_asked_is_believed_by_the_card_alone(tmp_path: Path) -> None:
    done = tmp_path / "left"
    with running() as llm:
        server = Command((sys.executable, "-c", f"open({str(done)!r}, 'w')"))
        assert not tenant(server, llm, card=False).release(WANTED).verified
        assert done.exists()
        assert not tenant(server, llm).release(WANTED).verified

        def leave_and_free() -> int:
            llm.on_card = llm.on_card and not done.exists()
            return llm.free()

        done.unlink()
        assert LlmTenant(server, leave_and_free, Time().patience()).release(WANTED).verified


@pytest.mark.parametrize(
    ("argv", "timeout_s"),
    [
        (("/no/such/program",), 5.0),
        ((sys.executable, "-c", "raise SystemExit(3)"), 30.0),
        ((sys.executable, "-c", "input()" + "\nwhile True: pass"), 0.2),
    ],
    ids=["not there", "fails", "hangs"],
)
def test_a_program_that_fails_is_a_typed_error(argv: tuple[str, ...], timeout_s: float) -> None:
    if "hangs" in argv[-1] or "while" in argv[-1]:
        argv = (sys.executable, "-c", "while True: pass")
    with pytest.raises(LlmUnreachable):
        Command(argv, timeout_s=timeout_s).ask_to_leave()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ollama:http://127.0.0.1:11434/qwen3:8b", "ollama qwen3:8b"),
        ("ollama:http://localhost:11434", "ollama"),
        ("vllm:http://10.0.0.2:8000", "vllm"),
        (" llamacpp:http://[::1]:8080/gemma ", "llama.cpp gemma"),
        ("llamaswap:https://box/a%2Fb", "llama-swap a/b"),
        ("command:/usr/local/bin/sleep it", "command /usr/local/bin/sleep it"),
    ],
)
def test_a_setting_names_a_server(text: str, name: str) -> None:
    assert llm_server(text).name == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ollama",
        "ollama:",
        "ollama:127.0.0.1",
        "gpt:http://a",
        "vllm:ftp://127.0.0.1",
        "command:",
        "vllm:http://a:b",
    ],
)
def test_a_setting_that_names_none_says_what_is_allowed(text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        llm_server(text)
    assert all(kind in str(caught.value) for kind in KINDS)


def test_with_an_arbiter_the_llm_leaves_before_whisper_and_is_ready_again_in_its_own_lease() -> None:
    with running() as llm:
        arbiter = ThreadArbiter(read_free=llm.free)
        arbiter.register(Tenant("whisper"))
        shared = LlmTenant(Vllm(llm.url, timeout_s=60.0), llm.free, Time().patience())
        arbiter.register(shared.tenant())
        with arbiter.lease("whisper", LeaseRequest(llm.total - MORE, 60.0)) as lease:
            assert (lease.on_card, llm.on_card) == (True, False)
        with shared.lease(arbiter):
            assert llm.on_card
        with arbiter.lease("whisper", LeaseRequest(llm.total - MORE, 60.0)):
            assert not llm.on_card


def test_with_an_arbiter_an_llm_that_stays_sends_whisper_to_the_cpu() -> None:
    with running("nothing_freed") as llm:
        arbiter = ThreadArbiter(read_free=llm.free)
        arbiter.register(Tenant("whisper"))
        arbiter.register(LlmTenant(Ollama(llm.url, "m"), llm.free, Time().patience()).tenant())
        with arbiter.lease("whisper", LeaseRequest(llm.total - MORE, 0.3, AtDeadline.CPU)) as lease:
            assert not lease.on_card

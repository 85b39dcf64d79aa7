"""The servers by their own protocols."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING
from urllib.parse import quote

from autorag_whisper.domain.errors import LlmUnreachable
from autorag_whisper.gpu.llm.http import Http, field, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Ollama:
    """Ollama: `keep_alive` 0 has a model leave, some time after the answer; `/api/ps` tells what is loaded.

    `model` "": all that are.
    """

    def __init__(self, url: str, model: str = "", timeout_s: float = 10.0) -> None:
        self.name, self._model = f"ollama {model}".strip(), model
        self._http = Http(self.name, url, timeout_s)

    def is_loaded(self) -> bool | None:
        return bool(self._loaded())

    def ask_to_leave(self) -> None:
        for name in self._loaded():
            self._http.post("/api/generate", {"model": name, "keep_alive": 0})

    def ask_back(self) -> None:
        """It loads with its next request."""

    def _loaded(self) -> list[str]:
        names = [field(row, "model") or field(row, "name") for row in rows(self._http.get("/api/ps"), "models")]
        wanted = {self._model, f"{self._model}:latest"}
        return [name for name in names if isinstance(name, str) and (not self._model or name in wanted)]


class Vllm:
    """vLLM with `--enable-sleep-mode` and VLLM_SERVER_DEV_MODE=1: weights go to the CPU's memory and stay there.

    Its 200 is no proof: the release counts when `/is_sleeping` and the card say so.
    """

    def __init__(self, url: str, model: str = "", timeout_s: float = 60.0) -> None:
        self.name = f"vllm {model}".strip()
        self._http = Http(self.name, url, timeout_s)

    def is_loaded(self) -> bool | None:
        sleeping = field(self._ask("GET", "/is_sleeping"), "is_sleeping")
        return None if not isinstance(sleeping, bool) else not sleeping

    def ask_to_leave(self) -> None:
        self._ask("POST", "/sleep?level=1&mode=wait")

    def ask_back(self) -> None:
        if self.is_loaded() is False:
            self._ask("POST", "/wake_up")

    def _ask(self, method: str, path: str) -> object:
        try:
            return self._http.get(path) if method == "GET" else self._http.post(path)
        except LlmUnreachable as error:
            if error.status in (404, 405):
                remedy = "start it with VLLM_SERVER_DEV_MODE=1 and --enable-sleep-mode"
                raise LlmUnreachable(self.name, error.reason, remedy, error.status) from error
            raise


class LlamaCppRouter:
    """llama.cpp's server in router mode: models are loaded and unloaded by name. `model` "": all of them."""

    def __init__(self, url: str, model: str = "", timeout_s: float = 10.0) -> None:
        self.name, self._model = f"llama.cpp {model}".strip(), model
        self._http = Http(self.name, url, timeout_s)

    def is_loaded(self) -> bool | None:
        return bool(self._loaded())

    def ask_to_leave(self) -> None:
        for name in self._loaded():
            self._http.post("/models/unload", {"model": name})

    def ask_back(self) -> None:
        """It loads with its next request."""

    def _loaded(self) -> list[str]:
        found = []
        for row in rows(self._http.get("/models"), "data"):
            name, status = field(row, "id"), field(row, "status", "value") or field(row, "status")
            if isinstance(name, str) and (not self._model or name == self._model) and status != "unloaded":
                found.append(name)
        return found


class LlamaSwap:
    """llama-swap: `/running` tells what runs, unloading is by name or, `model` "", all at once."""

    def __init__(self, url: str, model: str = "", timeout_s: float = 10.0) -> None:
        self.name, self._model = f"llama-swap {model}".strip(), model
        self._http = Http(self.name, url, timeout_s)

    def is_loaded(self) -> bool | None:
        running = [field(row, "model") for row in rows(self._http.get("/running"), "running")]
        return self._model in running if self._model else bool(running)

    def ask_to_leave(self) -> None:
        self._http.post("/api/models/unload" + (f"/{quote(self._model, safe='')}" if self._model else ""))

    def ask_back(self) -> None:
        """It loads with its next request."""


class Command:
    """Any server that a program of the operator's can move: exit code 0 means that it was done. No shell is used.

    It cannot be asked whether the model is loaded, so only the card can verify a release.
    """

    def __init__(self, leave: Sequence[str], back: Sequence[str] = (), timeout_s: float = 60.0) -> None:
        self.name = f"command {leave[0]}" if leave else "command"
        self._leave, self._back, self._timeout_s = list(leave), list(back), timeout_s

    def is_loaded(self) -> bool | None:
        return None

    def ask_to_leave(self) -> None:
        self._run(self._leave)

    def ask_back(self) -> None:
        if self._back:
            self._run(self._back)

    def _run(self, argv: list[str]) -> None:
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own program, its arguments as a list
                argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=self._timeout_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise LlmUnreachable(self.name, f"it took longer than {self._timeout_s:g} s") from error
        except OSError as error:
            raise LlmUnreachable(self.name, f"it cannot be run: {type(error).__name__}", "check its path") from error
        if done.returncode:
            raise LlmUnreachable(self.name, f"it ended with {done.returncode}")


class HostModel:
    """A model in the host's own process, by the host's functions.

    `leave()` frees its memory of the card; another thread calls it when another tenant wants the card, and never while
    the host has its lease. `back()` loads it, or does nothing where it is loaded: it is called at the start of every
    lease of the host. `is_loaded()` says whether it is in memory; without it only the card can verify a release. What
    `leave` and `is_loaded` raise counts as a release that did not happen.
    """

    def __init__(
        self,
        name: str,
        leave: Callable[[], object],
        back: Callable[[], object] = lambda: None,
        is_loaded: Callable[[], bool | None] = lambda: None,
    ) -> None:
        self.name, self._leave, self._back, self._is_loaded = name, leave, back, is_loaded

    def is_loaded(self) -> bool | None:
        return self._is_loaded()

    def ask_to_leave(self) -> None:
        self._leave()

    def ask_back(self) -> None:
        self._back()

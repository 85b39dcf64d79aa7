"""`AUTORAG_WHISPER_LLM` to a server: `kind:where`.

```
  ollama:http://127.0.0.1:11434/qwen3:8b         the model is what follows the host; none means all
  vllm:http://127.0.0.1:8000
  llamacpp:http://127.0.0.1:8080/gemma-3-4b
  llamaswap:http://127.0.0.1:9292
  command:/usr/local/bin/llm-sleep               called as `llm-sleep leave` and `llm-sleep back`
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.gpu.llm.servers import Command, LlamaCppRouter, LlamaSwap, Ollama, Vllm

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.gpu.llm.base import LlmServer

_BY_URL: dict[str, Callable[[str, str], LlmServer]] = {
    "ollama": Ollama,
    "vllm": Vllm,
    "llamacpp": LlamaCppRouter,
    "llamaswap": LlamaSwap,
}
KINDS = (*_BY_URL, "command")
_ALLOWED = f"{', '.join(f'{kind}:http://HOST:PORT/MODEL' for kind in _BY_URL)} or command:/a/program"


def llm_server(text: str) -> LlmServer:
    """The server that `text` names as AUTORAG_WHISPER_LLM does ("vllm:http://127.0.0.1:8000"). Raises InvalidOption."""
    kind, _, where = text.strip().partition(":")
    if kind == "command" and where.strip():
        return Command((where.strip(), "leave"), (where.strip(), "back"))
    try:
        parts = urlsplit(where)
        known = kind in _BY_URL and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or parts.query or parts.fragment:
        raise InvalidOption("AUTORAG_WHISPER_LLM", text, _ALLOWED)
    return _BY_URL[kind](f"{parts.scheme}://{parts.netloc}", unquote(parts.path.strip("/")))

"""These tests need PyTorch and transformers: `scripts/torch_env.sh` runs them in an environment that has both."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") and find_spec("transformers") else ["test_*.py"]

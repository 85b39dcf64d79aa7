"""These tests need Ray: `scripts/ray_env.sh` runs them in an environment that has it."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("ray") else ["test_*.py"]

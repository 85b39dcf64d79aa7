"""These tests need schemathesis and others: `scripts/schemathesis_env.sh` runs them in an environment that has them."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("schemathesis") else ["test_*.py"]

#!/bin/sh
# Run the tests on a Ray cluster of their own, in an environment of their own: scripts/ray_env.sh [pytest options].
# It is made when it is missing, outside the clone, where RAY_ENV says (default: the user's cache directory);
# `scripts/ray_env.sh --only-make` prints its Python and stops. About 1 GB, never part of .venv.
set -eu
cd "$(dirname "$0")/.."

place=${RAY_ENV:-${XDG_CACHE_HOME:-$HOME/.cache}/autorag-whisper/ray-env}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
ray='ray[data,serve]==2.60.0'

key() { { printf '%s\n' "$ray" && cat requirements/dev.txt; } | cksum; }

if [ "$(cat "$place/.made-from" 2>/dev/null)" != "$(key)" ]; then
  printf 'Setting up %s (once; about 1 GB) ...\n' "$place" >&2
  rm -rf "$place"
  "${PYTHON:-python3}" -m venv "$place"
  "$place/bin/python" -m pip install -qq --require-hashes -r requirements/dev.txt
  "$place/bin/python" -m pip install -qq "$ray"
  key >"$place/.made-from"
fi
if [ "${1:-}" = --only-make ]; then
  printf '%s\n' "$place/bin/python"
  exit 0
fi
# The checkout itself is not installed there: several may share the environment.
PYTHONPATH=$PWD/src exec "$place/bin/python" -m pytest -p no:randomly tests/with_ray "$@"

#!/bin/sh
# Run the tests that need PyTorch, in an environment of their own: scripts/torch_env.sh [pytest options].
# It is made when it is missing, outside the clone, where TORCH_ENV says (default: the user's cache directory);
# `scripts/torch_env.sh --only-make` prints its Python and stops. About 1 GB, never part of .venv.
set -eu
cd "$(dirname "$0")/.."

place=${TORCH_ENV:-${XDG_CACHE_HOME:-$HOME/.cache}/autorag-whisper/torch-env}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
torch=torch==2.13.0
transformers=transformers==5.24.0

key() { { printf '%s\n' "$torch" "$transformers" && cat requirements/dev.txt; } | cksum; }

if [ "$(cat "$place/.made-from" 2>/dev/null)" != "$(key)" ]; then
  printf 'Setting up %s (once; about 1 GB) ...\n' "$place" >&2
  rm -rf "$place"
  "${PYTHON:-python3}" -m venv "$place"
  "$place/bin/python" -m pip install -qq --require-hashes -r requirements/dev.txt
  # Named exactly: without a version pip would look for the newest and its CUDA libraries, which no test needs.
  "$place/bin/python" -m pip install -qq "$torch" "$transformers"
  key >"$place/.made-from"
fi
if [ "${1:-}" = --only-make ]; then
  printf '%s\n' "$place/bin/python"
  exit 0
fi
# The checkout itself is not installed there: several may share the environment.
PYTHONPATH=$PWD/src exec "$place/bin/python" -m pytest tests/contract/test_ctc_emitter.py tests/pytorch "$@"

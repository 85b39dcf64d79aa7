#!/bin/sh
# Run the tests of the whisperX engine, in an environment of their own: scripts/whisperx_env.sh [pytest options].
# It is made when it is missing, outside the clone, where AUTORAG_WHISPER_WHISPERX_ENV says (default: the user's cache
# directory). About 2 GB, never part of .venv; `python -m benchmarks.compare.whisperx_env` says what is in it.
set -eu
cd "$(dirname "$0")/.."

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
scripts/venv.sh dev
python=$(.venv/bin/python -m benchmarks.compare.whisperx_env)
# The checkout itself is not installed there: several may share the environment.
export PYTHONPATH="$PWD/src"
exec "$python" -m pytest -m 'not slow' tests/contract/test_whisper_pipeline.py tests/contract/test_word_aligner.py \
  tests/contract/test_whisper_model.py tests/contract/test_recognizer.py tests/with_whisperx "$@"

#!/bin/sh
# Make .venv ready for `make demo` or `make test`: scripts/venv.sh demo|dev, or bench or docs on top of dev. Instant when it already is.
# Needs Python >= 3.11 and nothing else; set PYTHON to choose one.
set -eu
cd "$(dirname "$0")/.."

wanted=$1
requirements=requirements/$wanted.txt
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

# What a stamp says: a change of pins, of the package's own metadata or of the folder makes it stale.
key() { { pwd && cat "$1" pyproject.toml; } | cksum; }
fresh() { [ "$(cat ".venv/.made-from-$1" 2>/dev/null)" = "$(key "requirements/$1.txt")" ]; }

# The native library is compiled where it can be (hatch_build.py). Its stamp: sources, tools, and whether it lies there.
native_key() {
  {
    set +e # what is not there is part of the key too
    cat hatch_build.py
    find native -type f | LC_ALL=C sort | while IFS= read -r file; do cksum "$file"; done
    printf '%s\n' "${CXX-}" "${AUTORAG_WHISPER_NATIVE_BUILD-}"
    for tool in c++ g++ clang++ cmake; do command -v "$tool"; done
    ls src/autorag_whisper/engines/*autorag_whisper_cpu.*
  } 2>/dev/null | cksum
}
native_fresh() { [ ! -d native ] || [ "$(cat .venv/.native-from 2>/dev/null)" = "$(native_key)" ]; }

# The checkout itself. Not its dependencies: --require-hashes refuses -e, and nothing unpinned is fetched.
install_checkout() {
  "$python" -m pip install -qq --no-deps --no-build-isolation -e .
  if [ -d native ]; then native_key >.venv/.native-from; fi
}

python=.venv/bin/python
if new_enough "$python"; then
  # dev holds all of demo, at the same versions
  if fresh "$wanted" || { [ "$wanted" = demo ] && fresh dev; }; then
    native_fresh || install_checkout
    exit 0
  fi
else
  system=
  for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
    if new_enough "$candidate"; then
      system=$candidate
      break
    fi
  done
  [ -n "$system" ] || fail "autorag-whisper needs Python 3.11 or newer; ${PYTHON:-python3} is: $("${PYTHON:-python3}" --version 2>&1)." \
    "Install one, or name it: make PYTHON=/path/to/python3.12 ..."
  "$system" -c 'import ensurepip, venv' 2>/dev/null || fail "This Python cannot make virtual environments (no ensurepip)." \
    "On Debian and Ubuntu: apt-get install python3-venv; or name another Python: make PYTHON=/path/to/python3.12 ..."
  rm -rf .venv
  "$system" -m venv .venv
fi

printf 'Setting up .venv from %s (once; a few hundred MB to fetch) ...\n' "$requirements" >&2
"$python" -m pip install -qq --require-hashes -r "$requirements" # -qq: errors only
install_checkout
key "$requirements" >".venv/.made-from-$wanted"

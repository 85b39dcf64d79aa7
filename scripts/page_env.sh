#!/usr/bin/env bash
# The page (src/autorag_whisper/server/page) checked, and driven in a browser against a real server, in environments of its own.
#   scripts/page_env.sh install               what it needs: Debian's Chromium (as root), Playwright, the tools of tests/page/tools
#   scripts/page_env.sh check                 types, linter and the laws of its document
#   scripts/page_env.sh test [PYTEST OPTION]  its tests in the browser; screenshots are put into tests/page/screenshots
#   scripts/page_env.sh run COMMAND...        something else in that environment: benchmarks/page.py, page_walk.py
# Where PAGE_ENV says (default: the user's cache directory). The server under test is that of .venv.
set -euo pipefail
cd "$(dirname "$0")/.."

place=${PAGE_ENV:-${XDG_CACHE_HOME:-$HOME/.cache}/autorag-whisper/page-env}
packages=(playwright==1.65.2 pytest==9.2.0 pytest-timeout==2.4.0)
tools=tests/page/tools
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1

key() { printf '%s\n' "${packages[@]}" | cksum; }

prepare() {
  if [ "$(cat "$place/.made-from" 2>/dev/null)" != "$(key)" ]; then
    printf 'Setting up %s (once) ...\n' "$place" >&2
    rm -rf "$place"
    "${PYTHON:-python3}" -m venv "$place"
    "$place/bin/python" -m pip install -qq "${packages[@]}"
    key >"$place/.made-from"
  fi
}

case ${1:-} in
  install)
    if ! command -v chromium >/dev/null; then
      apt-get update -qq
      DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium fonts-noto-core fonts-noto-cjk >/dev/null
    fi
    prepare
    npm ci --silent --no-audit --no-fund --prefix "$tools"
    ;;
  check)
    "$tools/node_modules/.bin/tsc" -p "$tools"
    "$tools/node_modules/.bin/biome" lint --error-on-warnings --config-path="$tools" src/autorag_whisper/server/page/files
    node --test tests/page/
    ;;
  test)
    shift
    prepare
    what=(tests/page)
    for given in "$@"; do if [ -e "${given%%::*}" ]; then what=(); fi; done
    exec "$place/bin/python" -m pytest -c tests/page/pytest.ini --confcutdir tests/page "${what[@]}" "$@"
    ;;
  run)
    shift
    prepare
    PATH="$place/bin:$PATH" exec "$@"
    ;;
  *)
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac

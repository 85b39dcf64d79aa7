#!/usr/bin/env bash
# Pin every dependency, with the hashes of all its files, for every platform and Python that we name: requirements/*.txt.
# Pins that still fit are kept; `scripts/lock.sh --upgrade` takes the newest, `--upgrade-package NAME` one.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install -qq uv

# lock FILE OPTION...: no index, no host and no path is written into the file.
lock() {
  local file=$1
  shift
  "$scratch/venv/bin/uv" pip compile pyproject.toml --universal --python-version 3.11 --fork-strategy fewest \
    --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet \
    --system-certs --output-file "$file" "$@"
}

# The largest first; the others are held to its versions, so that what is demonstrated and measured is what is tested.
lock requirements/dev.txt --group build --group dev --extra weights-tiny-en --extra weights-base "$@"
lock requirements/demo.txt --group build --extra weights-base --constraint requirements/dev.txt
lock requirements/bench.txt --group bench --constraint requirements/dev.txt
lock requirements/docs.txt --group docs --constraint requirements/dev.txt
lock requirements/core.txt --constraint requirements/dev.txt
# What the container has (deploy/Dockerfile), without and with a card.
lock requirements/server.txt --group build --extra server --extra wyoming --extra otel --extra postgres \
  --extra weights-base --constraint requirements/dev.txt
lock requirements/server-cuda.txt --group build --extra server --extra wyoming --extra otel --extra postgres \
  --extra weights-base --extra cuda --extra llm --constraint requirements/server.txt

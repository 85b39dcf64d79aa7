#!/usr/bin/env bash
# native/ with sanitizers: addresses, leaks and undefined behaviour over all its tests, races over the threads.
# A finding ends it with an error. 2 to 3 minutes; needs CMake and gcc or clang (CXX=clang++ chooses).
set -euo pipefail
cd "$(dirname "$0")/.."

built() { # NAME SANITIZERS
  cmake -S native -B "build/native-$1" -DBUILD_TESTING=ON -DAWC_SANITIZE="$2" >/dev/null
  cmake --build "build/native-$1" --parallel 2 | grep -E 'error|warning' || true
  cmake --build "build/native-$1" >/dev/null
}

echo "native: AddressSanitizer and UndefinedBehaviorSanitizer"
built address address,undefined
ctest --test-dir build/native-address --output-on-failure --no-tests=error | tail -4

# What numpy hands over as well. Python itself is not instrumented: the runtimes are loaded before it, and it may leak.
compiler="${CXX:-c++}"
runtime=$("$compiler" -print-file-name=libasan.so)
if [ -f "$runtime" ] && [ -x .venv/bin/python ]; then
  env LD_PRELOAD="$runtime $("$compiler" -print-file-name=libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc \
    AUTORAG_WHISPER_KERNELS="$PWD/build/native-address/libautorag_whisper_kernels.so" \
    .venv/bin/python -m pytest -q -p no:cacheprovider tests/native -k kernels | tail -3
fi

echo "native: ThreadSanitizer"
built thread thread
ctest --test-dir build/native-thread --output-on-failure --no-tests=error | tail -4

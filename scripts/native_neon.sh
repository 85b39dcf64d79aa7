#!/usr/bin/env bash
# The NEON kernels against the reference, cross-built for aarch64 and run under QEMU. Says so where the tools are missing.
#   scripts/native_neon.sh [install]    install: Debian's packages first, where this user may
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1-}" = install ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v qemu-aarch64 >/dev/null; then
  apt-get install -y -qq --no-install-recommends g++-aarch64-linux-gnu qemu-user >/dev/null || true
fi
for tool in aarch64-linux-gnu-g++ qemu-aarch64 cmake; do
  command -v "$tool" >/dev/null || { echo "native: NEON was not run, there is no $tool"; exit 0; }
done
cmake -S native -B build/native-arm -DBUILD_TESTING=ON -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ >/dev/null
cmake --build build/native-arm --target kernels_test engine_test --parallel 2 >/dev/null
for program in kernels_test engine_test; do
  qemu-aarch64 -L /usr/aarch64-linux-gnu "build/native-arm/$program" | tail -1
done

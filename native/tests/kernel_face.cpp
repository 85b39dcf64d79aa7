// What tests/native_kernels.py opens: the tables of kernels themselves, their work space, and the rule by which
// instruction sets are found. Not part of the wheel.
#include <cstring>

#include "cpu_features.h"
#include "kernels.h"

#define FACE extern "C" __attribute__((visibility("default")))

// The table of that name: a pointer to awc::Kernels, or null where there is none here.
FACE const awc::Kernels* awk_kernels(const char* name) { return awc::kernels_for(name); }

FACE awc::Scratch* awk_scratch_new() { return new awc::Scratch; }
FACE void awk_scratch_free(awc::Scratch* scratch) { delete scratch; }

// Bits of what registers say: 1 AVX2, 2 AVX-VNNI, 4 AVX-512 VNNI, 8 AVX-512 BF16.
FACE int awk_features(uint32_t leaf1_ecx, uint32_t leaf7_ebx, uint32_t leaf7_ecx, uint32_t leaf7_1_eax, uint64_t xcr0) {
  const awc::Features f = awc::features_of({leaf1_ecx, leaf7_ebx, leaf7_ecx, leaf7_1_eax, xcr0});
  return f.avx2 + 2 * f.avx_vnni + 4 * f.avx512_vnni + 8 * f.avx512_bf16;
}

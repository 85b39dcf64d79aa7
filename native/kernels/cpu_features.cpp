#include "cpu_features.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace awc {
namespace {

constexpr bool bit(uint64_t word, int n) { return (word >> n & 1) != 0; }

}  // namespace

Features features_of(const X86Registers& r) {
  const bool saves_ymm = (r.xcr0 & 0x06) == 0x06;  // SSE and AVX state
  const bool saves_zmm = (r.xcr0 & 0xe6) == 0xe6;  // and the masks and upper halves of AVX-512
  const bool fma = bit(r.leaf1_ecx, 12), avx = bit(r.leaf1_ecx, 28);
  const bool avx512 = bit(r.leaf7_ebx, 16) && bit(r.leaf7_ebx, 17) && bit(r.leaf7_ebx, 30) && bit(r.leaf7_ebx, 31);
  Features found;
  found.avx2 = saves_ymm && avx && fma && bit(r.leaf7_ebx, 5);
  found.avx_vnni = found.avx2 && bit(r.leaf7_1_eax, 4);
  found.avx512_vnni = found.avx2 && saves_zmm && avx512 && bit(r.leaf7_ecx, 11);
  found.avx512_bf16 = found.avx512_vnni && bit(r.leaf7_1_eax, 5);
  return found;
}

#if defined(__x86_64__) || defined(_M_X64)

namespace {

uint64_t saved_registers() {
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

}  // namespace

Features features_here() {
  X86Registers r;
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return {};
  r.leaf1_ecx = ecx;
  if (bit(ecx, 27)) r.xcr0 = saved_registers();  // OSXSAVE: the system says which registers it keeps
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
    r.leaf7_ebx = ebx, r.leaf7_ecx = ecx;
    if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) r.leaf7_1_eax = eax;
  }
  return features_of(r);
}

#elif defined(__aarch64__)

Features features_here() {
  Features found;
#if defined(__linux__)
  found.neon_dotprod = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__APPLE__)
  found.neon_dotprod = true;  // every Apple silicon Mac has it
#endif
  return found;
}

#else

Features features_here() { return {}; }

#endif

}  // namespace awc

// Which of the instruction sets that kernels are built for a processor and its operating system run.
#pragma once

#include <cstdint>

namespace awc {

struct Features {
  bool avx2 = false;         // with FMA
  bool avx_vnni = false;     // int8 products in 256-bit registers
  bool avx512_vnni = false;  // with F, BW, DQ, VL
  bool avx512_bf16 = false;  // on top of avx512_vnni
  bool neon_dotprod = false;
};

// What CPUID and XGETBV answer, by leaf: the rule below is a function of them alone, so that tests can ask about
// processors that are not at hand.
struct X86Registers {
  uint32_t leaf1_ecx = 0;     // CPUID 1
  uint32_t leaf7_ebx = 0;     // CPUID 7, subleaf 0
  uint32_t leaf7_ecx = 0;
  uint32_t leaf7_1_eax = 0;   // CPUID 7, subleaf 1
  uint64_t xcr0 = 0;          // registers that the operating system saves; 0 without OSXSAVE
};

Features features_of(const X86Registers& registers);

// Of the processor that this runs on.
Features features_here();

}  // namespace awc

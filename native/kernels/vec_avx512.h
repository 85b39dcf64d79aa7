// Sixteen lanes as one 512-bit register: AVX-512 F, BW, VL, DQ and VNNI; BF16 where __AVX512BF16__ is set.
// What simd_kernels.h is written in; each instruction set has a header with the same names. Included by one .cpp alone,
// which is compiled with the flags of that set: everything here has internal linkage, so that no function built with
// these instructions can be taken by the linker for one of another file.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#define INLINE inline __attribute__((always_inline))

namespace awc {
namespace {

using F = __m512;   // 16 floats
using I = __m512i;  // 16 int32

INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
INLINE void store(float* p, F v) { _mm512_storeu_ps(p, v); }
INLINE __mmask16 first(int n) { return static_cast<__mmask16>((1u << n) - 1); }
INLINE F load_first(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }  // the others are 0
INLINE void store_first(float* p, F v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }
INLINE F keep_first(F v, int n, float other) { return _mm512_mask_mov_ps(_mm512_set1_ps(other), first(n), v); }
INLINE F all(float x) { return _mm512_set1_ps(x); }
INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }  // a * b + c
INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }
INLINE F absolute(F a) { return _mm512_abs_ps(a); }
INLINE F with_sign_of(F a, F s) {
  const __m512i sign = _mm512_and_si512(_mm512_castps_si512(s), _mm512_set1_epi32(INT32_MIN));
  return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(a), sign));
}
INLINE F nearest(F a) { return _mm512_roundscale_ps(a, 8); }      // to an integer, ties to even
INLINE F times_power_of_2(F a, F n) { return _mm512_scalef_ps(a, n); }  // n: integers, -127 .. 127
// NaN becomes 0, the others within -most .. most
INLINE F within(F a, float most) {
  const __mmask16 number = _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q);
  return _mm512_maskz_min_ps(number, _mm512_max_ps(a, _mm512_set1_ps(-most)), _mm512_set1_ps(most));
}
INLINE float sum(F a) { return _mm512_reduce_add_ps(a); }
INLINE float highest(F a) { return _mm512_reduce_max_ps(a); }
INLINE unsigned greater(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }  // a bit for each lane

INLINE I load_int(const int32_t* p) { return _mm512_loadu_si512(p); }
INLINE void store_int(int32_t* p, I a) { _mm512_storeu_si512(p, a); }
INLINE I all_int(int32_t x) { return _mm512_set1_epi32(x); }
INLINE I add_int(I a, I b) { return _mm512_add_epi32(a, b); }
INLINE int32_t sum_int(I a) { return _mm512_reduce_add_epi32(a); }
INLINE I to_int(F a) { return _mm512_cvtps_epi32(a); }  // nearest, ties to even
INLINE F to_float(I a) { return _mm512_cvtepi32_ps(a); }
INLINE I shift_right(I a, int n) { return _mm512_srli_epi32(a, n); }
INLINE I mask_int(I a, int32_t bits) { return _mm512_and_si512(a, _mm512_set1_epi32(bits)); }
INLINE void store_bytes(void* p, I a) {  // the low byte of each lane
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a));
}

INLINE void store_int16(int16_t* p, I a) {  // the low half of each lane, which is within 16 bits
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a));
}

INLINE F load_bfloat16(const uint16_t* p) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
INLINE void store_bfloat16(uint16_t* p, F v) {  // nearest, ties to even
#ifdef __AVX512BF16__
  const __m256i half = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v));
#else
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));  // not a number stays that
  const __mmask16 no_number = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  const __m256i half = _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_mov_epi32(up, no_number, quiet), 16));
#endif
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), half);
}

INLINE I four_bytes(const void* p) {  // the same four bytes in every lane
  int32_t x;
  std::memcpy(&x, p, 4);
  return _mm512_set1_epi32(x);
}

// The products are said in assembly: given the intrinsics, gcc 12 copies accumulators to and from the stack in every step
// of a tile of 12 rows, and is half as fast.
INLINE I dot_unsigned_signed(I acc, I u, I s) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u), "v"(s));
  return acc;
}

// ---- the products: acc[lane] += the four bytes (or two, or one number) of w's lane times those of x ----

struct Int8Product {  // w: unsigned (weight + 128), x: signed
  using Accumulator = I;
  using Sum = int32_t;
  using Weights = I;
  static constexpr int kOffset = 128;
  static constexpr int kRows = 12, kPanels = 2;  // a tile keeps 24 of the 32 registers as accumulators
  static INLINE Weights weights(const void* p) { return _mm512_load_si512(p); }
  static INLINE I dot(I acc, Weights w, I x) { return dot_unsigned_signed(acc, w, x); }
};

struct ProbabilityProduct {  // w: signed values, x: unsigned parts of probabilities
  using Accumulator = I;
  using Sum = int32_t;
  using Weights = I;
  static constexpr int kBits = 8;  // of each of the two parts
  static constexpr int kRows = 5, kPanels = 4;
  static INLINE Weights weights(const void* p) { return _mm512_load_si512(p); }
  static INLINE I dot(I acc, Weights w, I x) { return dot_unsigned_signed(acc, x, w); }
};

#ifndef __AVX512BF16__  // else bfloat16, which is a tenth faster
#define AWC_INT16_PRODUCT
#endif
struct Int16Product {  // two int16 each
  using Accumulator = I;
  using Sum = int32_t;
  using Weights = I;
  static constexpr int kRows = 12, kPanels = 2;
  static INLINE Weights weights(const void* p) { return _mm512_load_si512(p); }
  static INLINE I dot(I acc, Weights w, I x) {
    __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x));
    return acc;
  }
};

#ifdef __AVX512BF16__
struct FloatProduct {  // two bfloat16 each
  using Accumulator = F;
  using Sum = float;
  using Weights = I;
  using Number = uint16_t;
  static constexpr int kRows = 12, kPanels = 2;
  static INLINE Weights weights(const void* p) { return _mm512_load_si512(p); }
  static INLINE F dot(F acc, Weights w, I x) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x));
    return acc;
  }
};
#else
struct FloatProduct {  // one float32 each
  using Accumulator = F;
  using Sum = float;
  using Weights = F;
  using Number = float;
  static constexpr int kRows = 12, kPanels = 2;
  static INLINE Weights weights(const void* p) { return _mm512_load_ps(p); }
  static INLINE F dot(F acc, Weights w, I x) {
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x));
    return acc;
  }
};
#endif

}  // namespace
}  // namespace awc

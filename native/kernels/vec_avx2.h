// Sixteen lanes as two 256-bit registers: AVX2, FMA and F16C; AVX-VNNI where __AVXVNNI__ is set. See vec_avx512.h.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#define INLINE inline __attribute__((always_inline))

namespace awc {
namespace {

struct F { __m256 a, b; };   // lanes 0 .. 7, 8 .. 15
struct I { __m256i a, b; };

INLINE F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
INLINE void store(float* p, F v) { _mm256_storeu_ps(p, v.a); _mm256_storeu_ps(p + 8, v.b); }
INLINE I first(int n) {  // -1 in the first n lanes
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return {_mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane), _mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), lane)};
}
INLINE F load_first(const float* p, int n) {
  const I m = first(n);
  return {_mm256_maskload_ps(p, m.a), _mm256_maskload_ps(p + 8, m.b)};
}
INLINE void store_first(float* p, F v, int n) {
  const I m = first(n);
  _mm256_maskstore_ps(p, m.a, v.a);
  _mm256_maskstore_ps(p + 8, m.b, v.b);
}
INLINE F all(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
INLINE F keep_first(F v, int n, float other) {
  const I m = first(n);
  const __m256 o = _mm256_set1_ps(other);
  return {_mm256_blendv_ps(o, v.a, _mm256_castsi256_ps(m.a)), _mm256_blendv_ps(o, v.b, _mm256_castsi256_ps(m.b))};
}
INLINE F add(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
INLINE F sub(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
INLINE F mul(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
INLINE F div(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
INLINE F fma(F x, F y, F z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
INLINE F max(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
INLINE F absolute(F x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
INLINE F with_sign_of(F x, F s) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(x.a, _mm256_and_ps(s.a, sign)), _mm256_or_ps(x.b, _mm256_and_ps(s.b, sign))};
}
INLINE F nearest(F x) { return {_mm256_round_ps(x.a, 8), _mm256_round_ps(x.b, 8)}; }
INLINE __m256 times_power_of_2(__m256 x, __m256 n) {  // n + 127 is made the exponent of a float
  const __m256i e = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_mul_ps(x, _mm256_castsi256_ps(e));
}
INLINE F times_power_of_2(F x, F n) { return {times_power_of_2(x.a, n.a), times_power_of_2(x.b, n.b)}; }
INLINE __m256 within(__m256 x, float most) {
  const __m256 bounded = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(-most)), _mm256_set1_ps(most));
  return _mm256_and_ps(bounded, _mm256_cmp_ps(x, x, _CMP_ORD_Q));
}
INLINE F within(F x, float most) { return {within(x.a, most), within(x.b, most)}; }  // NaN becomes 0
// Halves are folded in the order of _mm512_reduce_add_ps: the same bits on every instruction set.
INLINE float sum(F x) {
  const __m256 s = _mm256_add_ps(x.a, x.b);
  __m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  t = _mm_add_ps(t, _mm_movehl_ps(t, t));
  return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
}
INLINE float highest(F x) {
  const __m256 s = _mm256_max_ps(x.a, x.b);
  __m128 t = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  t = _mm_max_ps(t, _mm_movehl_ps(t, t));
  return _mm_cvtss_f32(_mm_max_ss(t, _mm_movehdup_ps(t)));
}
INLINE unsigned greater(F x, F y) {
  const int a = _mm256_movemask_ps(_mm256_cmp_ps(x.a, y.a, _CMP_GT_OQ));
  const int b = _mm256_movemask_ps(_mm256_cmp_ps(x.b, y.b, _CMP_GT_OQ));
  return static_cast<unsigned>(a | b << 8);
}

INLINE I load_int(const int32_t* p) {
  const __m256i* q = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
INLINE void store_int(int32_t* p, I x) {
  __m256i* q = reinterpret_cast<__m256i*>(p);
  _mm256_storeu_si256(q, x.a);
  _mm256_storeu_si256(q + 1, x.b);
}
INLINE I all_int(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
INLINE I add_int(I x, I y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
INLINE int32_t sum_int(I x) {
  const __m256i s = _mm256_add_epi32(x.a, x.b);
  __m128i t = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
  t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(t, _mm_shuffle_epi32(t, 0xb1)));
}
INLINE I to_int(F x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
INLINE F to_float(I x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
INLINE I shift_right(I x, int n) { return {_mm256_srli_epi32(x.a, n), _mm256_srli_epi32(x.b, n)}; }
INLINE I mask_int(I x, int32_t bits) {
  const __m256i m = _mm256_set1_epi32(bits);
  return {_mm256_and_si256(x.a, m), _mm256_and_si256(x.b, m)};
}
INLINE void store_bytes(void* p, I x) {
  const __m256i low = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                       0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i a = _mm256_shuffle_epi8(x.a, low), b = _mm256_shuffle_epi8(x.b, low);
  const __m128i a8 = _mm_unpacklo_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  const __m128i b8 = _mm_unpacklo_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm_unpacklo_epi64(a8, b8));
}

INLINE void store_int16(int16_t* p, I x) {  // the low half of each lane, which is within 16 bits
  const __m256i packed = _mm256_packs_epi32(x.a, x.b);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}

INLINE __m256 load_bfloat16_half(const uint16_t* p) {
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
INLINE F load_bfloat16(const uint16_t* p) { return {load_bfloat16_half(p), load_bfloat16_half(p + 8)}; }
INLINE __m256i round_to_bfloat16(__m256 v) {  // in the low half of each lane
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));  // not a number stays that
  const __m256i no_number = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  return _mm256_srli_epi32(_mm256_blendv_epi8(up, quiet, no_number), 16);
}
INLINE void store_bfloat16(uint16_t* p, F v) {
  const __m256i packed = _mm256_packus_epi32(round_to_bfloat16(v.a), round_to_bfloat16(v.b));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}

INLINE __m256i four_bytes(const void* p) {
  int32_t x;
  std::memcpy(&x, p, 4);
  return _mm256_set1_epi32(x);
}
INLINE I load_64_bytes(const void* p) {
  const __m256i* q = static_cast<const __m256i*>(p);
  return {_mm256_load_si256(q), _mm256_load_si256(q + 1)};
}

// ---- the products, see vec_avx512.h ----

#ifdef __AVXVNNI__
INLINE __m256i dot_unsigned_signed(__m256i acc, __m256i u, __m256i s) {  // in assembly as in vec_avx512.h
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(u), "x"(s));
  return acc;
}

struct Int8Product {  // w: unsigned (weight + 128), x: signed
  using Accumulator = I;
  using Sum = int32_t;
  using Weights = I;
  static constexpr int kOffset = 128;
  static constexpr int kRows = 6, kPanels = 1;
  static INLINE Weights weights(const void* p) { return load_64_bytes(p); }
  static INLINE I dot(I acc, Weights w, __m256i x) {
    return {dot_unsigned_signed(acc.a, w.a, x), dot_unsigned_signed(acc.b, w.b, x)};
  }
};

struct ProbabilityProduct {
  using Accumulator = I;
  using Sum = int32_t;
  using Weights = I;
  static constexpr int kBits = 8;
  static constexpr int kRows = 5, kPanels = 1;
  static INLINE Weights weights(const void* p) { return load_64_bytes(p); }
  static INLINE I dot(I acc, Weights w, __m256i x) {
    return {dot_unsigned_signed(acc.a, x, w.a), dot_unsigned_signed(acc.b, x, w.b)};
  }
};
#else
// _mm256_maddubs_epi16 adds two products of an unsigned and a signed byte in 16 bits, and saturates above 32767. With both
// factors at most 127 the sum is at most 32258: exact.
INLINE __m256i dot_below_128(__m256i acc, __m256i unsigned7, __m256i signed8) {
  const __m256i pairs = _mm256_maddubs_epi16(unsigned7, signed8);
  const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  __asm__("vpaddd %1, %0, %0" : "+x"(acc) : "x"(fours));  // in assembly as in vec_avx512.h
  return acc;
}

struct Int8Product {  // w and x: signed, -127 .. 127; w x = |w| (x with the sign of w)
  using Accumulator = I;
  using Sum = int32_t;
  struct Weights { I value, magnitude; };
  static constexpr int kOffset = 0;
  static constexpr int kRows = 4, kPanels = 1;
  static INLINE Weights weights(const void* p) {
    const I w = load_64_bytes(p);
    return {w, {_mm256_abs_epi8(w.a), _mm256_abs_epi8(w.b)}};
  }
  static INLINE I dot(I acc, Weights w, __m256i x) {
    return {dot_below_128(acc.a, w.magnitude.a, _mm256_sign_epi8(x, w.value.a)),
            dot_below_128(acc.b, w.magnitude.b, _mm256_sign_epi8(x, w.value.b))};
  }
};

struct ProbabilityProduct {
  using Accumulator = I;
  using Sum = int32_t;
  using Weights = I;
  static constexpr int kBits = 7;
  static constexpr int kRows = 4, kPanels = 1;
  static INLINE Weights weights(const void* p) { return load_64_bytes(p); }
  static INLINE I dot(I acc, Weights w, __m256i x) {
    return {dot_below_128(acc.a, x, w.a), dot_below_128(acc.b, x, w.b)};
  }
};
#endif

#define AWC_INT16_PRODUCT
struct Int16Product {  // two int16 each
  using Accumulator = I;
  using Sum = int32_t;
  using Weights = I;
  static constexpr int kRows = 6, kPanels = 1;
  static INLINE Weights weights(const void* p) { return load_64_bytes(p); }
  static INLINE __m256i dot(__m256i acc, __m256i w, __m256i x) {
#ifdef __AVXVNNI__
    __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(acc) : "x"(w), "x"(x));
#else
    __m256i pairs;
    __asm__("vpmaddwd %2, %1, %0" : "=x"(pairs) : "x"(w), "x"(x));
    __asm__("vpaddd %1, %0, %0" : "+x"(acc) : "x"(pairs));
#endif
    return acc;
  }
  static INLINE I dot(I acc, Weights w, __m256i x) { return {dot(acc.a, w.a, x), dot(acc.b, w.b, x)}; }
};

struct FloatProduct {  // one float32 each
  using Accumulator = F;
  using Sum = float;
  using Weights = F;
  using Number = float;
  static constexpr int kRows = 6, kPanels = 1;
  static INLINE Weights weights(const void* p) { return load(static_cast<const float*>(p)); }
  static INLINE F dot(F acc, Weights w, __m256i x) {
    const __m256 f = _mm256_castsi256_ps(x);
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc.a) : "x"(w.a), "x"(f));
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc.b) : "x"(w.b), "x"(f));
    return acc;
  }
};

}  // namespace
}  // namespace awc

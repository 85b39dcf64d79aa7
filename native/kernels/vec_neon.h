// Sixteen lanes as four 128-bit registers: AArch64 with the dot product instructions. See vec_avx512.h.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

#define INLINE inline __attribute__((always_inline))
#define INLINE_LAMBDA __attribute__((always_inline))
#define EACH for (int i = 0; i < 4; ++i)

namespace awc {
namespace {

struct F { float32x4_t v[4]; };
struct I { int32x4_t v[4]; };

template <class To, class Function>
INLINE To each(Function f) { return To{{f(0), f(1), f(2), f(3)}}; }

INLINE F load(const float* p) { return each<F>([=](int i) INLINE_LAMBDA { return vld1q_f32(p + 4 * i); }); }
INLINE void store(float* p, F x) { EACH vst1q_f32(p + 4 * i, x.v[i]); }
INLINE F load_first(const float* p, int n) {
  float copy[16] = {};
  for (int i = 0; i < n; ++i) copy[i] = p[i];
  return load(copy);
}
INLINE void store_first(float* p, F x, int n) {
  float copy[16];
  store(copy, x);
  for (int i = 0; i < n; ++i) p[i] = copy[i];
}
INLINE F keep_first(F x, int n, float other) {
  float copy[16];
  store(copy, x);
  for (int i = n; i < 16; ++i) copy[i] = other;
  return load(copy);
}
INLINE F all(float x) { return each<F>([=](int) INLINE_LAMBDA { return vdupq_n_f32(x); }); }
INLINE F add(F x, F y) { return each<F>([=](int i) INLINE_LAMBDA { return vaddq_f32(x.v[i], y.v[i]); }); }
INLINE F sub(F x, F y) { return each<F>([=](int i) INLINE_LAMBDA { return vsubq_f32(x.v[i], y.v[i]); }); }
INLINE F mul(F x, F y) { return each<F>([=](int i) INLINE_LAMBDA { return vmulq_f32(x.v[i], y.v[i]); }); }
INLINE F div(F x, F y) { return each<F>([=](int i) INLINE_LAMBDA { return vdivq_f32(x.v[i], y.v[i]); }); }
INLINE F fma(F x, F y, F z) { return each<F>([=](int i) INLINE_LAMBDA { return vfmaq_f32(z.v[i], x.v[i], y.v[i]); }); }
// As on x86, the second one where either is not a number: what is not a number is left out of a maximum by standing first.
INLINE F max(F x, F y) {
  return each<F>([=](int i) INLINE_LAMBDA { return vbslq_f32(vcgtq_f32(x.v[i], y.v[i]), x.v[i], y.v[i]); });
}
INLINE F absolute(F x) { return each<F>([=](int i) INLINE_LAMBDA { return vabsq_f32(x.v[i]); }); }
INLINE F with_sign_of(F x, F s) {
  return each<F>([=](int i) INLINE_LAMBDA { return vbslq_f32(vdupq_n_u32(0x80000000u), s.v[i], x.v[i]); });
}
INLINE F nearest(F x) { return each<F>([=](int i) INLINE_LAMBDA { return vrndnq_f32(x.v[i]); }); }
INLINE F times_power_of_2(F x, F n) {
  return each<F>([=](int i) INLINE_LAMBDA {
    const int32x4_t exponent = vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n.v[i]), vdupq_n_s32(127)), 23);
    return vmulq_f32(x.v[i], vreinterpretq_f32_s32(exponent));
  });
}
INLINE F within(F x, float most) {  // NaN becomes 0
  return each<F>([=](int i) INLINE_LAMBDA {
    const float32x4_t bounded = vminq_f32(vmaxq_f32(x.v[i], vdupq_n_f32(-most)), vdupq_n_f32(most));
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(bounded), vceqq_f32(x.v[i], x.v[i])));
  });
}
// In the order of _mm512_reduce_add_ps
INLINE float sum(F x) {
  const float32x4_t s = vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3]));
  const float32x2_t t = vadd_f32(vget_low_f32(s), vget_high_f32(s));
  return vget_lane_f32(t, 0) + vget_lane_f32(t, 1);
}
INLINE float highest(F x) {
  float copy[16], top;
  store(copy, x);
  top = copy[0];
  for (int i = 1; i < 16; ++i) top = copy[i] > top ? copy[i] : top;
  return top;
}
INLINE unsigned greater(F x, F y) {
  unsigned bits = 0;
  EACH {
    const uint32x4_t lanes = vandq_u32(vcgtq_f32(x.v[i], y.v[i]), uint32x4_t{1, 2, 4, 8});
    bits |= vaddvq_u32(lanes) << (4 * i);
  }
  return bits;
}

INLINE I load_int(const int32_t* p) { return each<I>([=](int i) INLINE_LAMBDA { return vld1q_s32(p + 4 * i); }); }
INLINE void store_int(int32_t* p, I x) { EACH vst1q_s32(p + 4 * i, x.v[i]); }
INLINE I all_int(int32_t x) { return each<I>([=](int) INLINE_LAMBDA { return vdupq_n_s32(x); }); }
INLINE I add_int(I x, I y) { return each<I>([=](int i) INLINE_LAMBDA { return vaddq_s32(x.v[i], y.v[i]); }); }
INLINE int32_t sum_int(I x) {
  return vaddvq_s32(vaddq_s32(vaddq_s32(x.v[0], x.v[1]), vaddq_s32(x.v[2], x.v[3])));
}
INLINE I to_int(F x) { return each<I>([=](int i) INLINE_LAMBDA { return vcvtnq_s32_f32(x.v[i]); }); }
INLINE F to_float(I x) { return each<F>([=](int i) INLINE_LAMBDA { return vcvtq_f32_s32(x.v[i]); }); }
INLINE I shift_right(I x, int n) {
  return each<I>([=](int i) INLINE_LAMBDA {
    return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(x.v[i]), vdupq_n_s32(-n)));
  });
}
INLINE I mask_int(I x, int32_t bits) {
  return each<I>([=](int i) INLINE_LAMBDA { return vandq_s32(x.v[i], vdupq_n_s32(bits)); });
}
INLINE void store_bytes(void* p, I x) {
  const int16x8_t low = vcombine_s16(vmovn_s32(x.v[0]), vmovn_s32(x.v[1]));
  const int16x8_t high = vcombine_s16(vmovn_s32(x.v[2]), vmovn_s32(x.v[3]));
  vst1q_s8(static_cast<int8_t*>(p), vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}

INLINE F load_bfloat16(const uint16_t* p) {
  return each<F>([=](int i) INLINE_LAMBDA { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)); });
}
INLINE void store_bfloat16(uint16_t* p, F x) {
  EACH {
    const uint32x4_t bits = vreinterpretq_u32_f32(x.v[i]);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t up = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));  // not a number stays that
    vst1_u16(p + 4 * i, vshrn_n_u32(vbslq_u32(vceqq_f32(x.v[i], x.v[i]), up, quiet), 16));
  }
}

INLINE int8x16_t four_bytes(const void* p) {
  int32_t x;
  std::memcpy(&x, p, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(x));
}

// ---- the products, see vec_avx512.h ----

struct SignedProduct {  // both signed
  using Accumulator = I;
  using Sum = int32_t;
  struct Weights { int8x16_t v[4]; };
  static INLINE Weights weights(const void* p) {
    const int8_t* bytes = static_cast<const int8_t*>(p);
    return each<Weights>([=](int i) INLINE_LAMBDA { return vld1q_s8(bytes + 16 * i); });
  }
  static INLINE I dot(I acc, Weights w, int8x16_t x) {
    return each<I>([=](int i) INLINE_LAMBDA { return vdotq_s32(acc.v[i], w.v[i], x); });
  }
};

struct Int8Product : SignedProduct {
  static constexpr int kOffset = 0;
  static constexpr int kRows = 6, kPanels = 1;
};

struct ProbabilityProduct : SignedProduct {
  static constexpr int kBits = 7;
  static constexpr int kRows = 5, kPanels = 1;
};

struct FloatProduct {  // one float32 each
  using Accumulator = F;
  using Sum = float;
  using Weights = F;
  using Number = float;
  static constexpr int kRows = 6, kPanels = 1;
  static INLINE Weights weights(const void* p) { return load(static_cast<const float*>(p)); }
  static INLINE F dot(F acc, Weights w, int8x16_t x) {
    const float32x4_t f = vreinterpretq_f32_s8(x);
    return each<F>([=](int i) INLINE_LAMBDA { return vfmaq_f32(acc.v[i], w.v[i], f); });
  }
};

}  // namespace
}  // namespace awc

// Functions of sixteen lanes, and the kernels of plain rows.
//
// Every kernel is written once, in the sixteen lanes and the products of a vec_*.h: here, in simd_products.h,
// simd_attention.h and simd_encoder_*.h (the encoder's attention in whole numbers or in floats). The .cpp of an
// instruction set includes its vec_*.h and simd_kernels.h, and makes a table of them. All names are local to that .cpp,
// and nothing of the standard library's templates is used: the linker could keep the copy of one file for the others
// (see README.md).
//
// Integers are the same on every set of instructions. Floats are too where the lanes alone are used (layer norm, GELU,
// exponentials); encoder attention and convolution differ by the width of their numbers, cross-attention by the
// bits of ProbabilityProduct's.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels.h"

// gcc keeps accumulators in registers only where every loop over them is unrolled, the first and the last one too.
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

namespace awc {
namespace {

using Bytes = const uint8_t*;

constexpr int kLanes = 16;        // columns of a panel
constexpr float kNone = -1e30f;   // "minus infinity" that may be subtracted from itself
constexpr float kInfinity = __builtin_inff();

INLINE int round_up(int n, int to) { return (n + to - 1) / to * to; }
INLINE int least(int a, int b) { return a < b ? a : b; }
INLINE size_t times(int a, int b) { return static_cast<size_t>(a) * static_cast<size_t>(b); }

// ------------------------------------------------------------------------------------------------------- functions

// 2 to the power of x, relative error below 2e-7; x is taken as at least -126
INLINE F exp2_of(F x) {
  x = max(x, all(-126.0f));
  const F n = nearest(x), f = sub(x, n);
  F p = all(1.32647273e-3f);  // least largest relative error over -0.5 .. 0.5, exact at 0
  p = fma(p, f, all(9.67151299e-3f));
  p = fma(p, f, all(5.55073358e-2f));
  p = fma(p, f, all(2.40222424e-1f));
  p = fma(p, f, all(6.93147004e-1f));
  p = fma(p, f, all(1.0f));
  return times_power_of_2(p, n);
}
INLINE F exp_of(F x) { return exp2_of(mul(x, all(1.44269504f))); }

// x / 2 * (1 + erf(x / sqrt 2)); erf by Abramowitz and Stegun 7.1.26, absolute error below 2e-7
INLINE F gelu_of(F x) {
  const F z = mul(x, all(0.70710678f)), a = absolute(z);
  const F t = div(all(1.0f), fma(a, all(0.3275911f), all(1.0f)));
  F p = all(1.061405429f);
  p = fma(p, t, all(-1.453152027f));
  p = fma(p, t, all(1.421413741f));
  p = fma(p, t, all(-0.284496736f));
  p = fma(p, t, all(0.254829592f));
  const F e = exp_of(sub(all(0.0f), mul(a, a)));
  const F erf = with_sign_of(sub(all(1.0f), mul(mul(p, t), e)), x);
  return mul(mul(x, all(0.5f)), add(erf, all(1.0f)));
}

// ------------------------------------------------------------------------------------------------------------ rows

void layer_norm(const float* x, int R, int D, const float* gamma, const float* beta, float* y) {
  const int whole = D / kLanes * kLanes, rest = D - whole;
  const float count = static_cast<float>(D);
  for (int r = 0; r < R; ++r, x += D, y += D) {
    F total = all(0.0f), squares = all(0.0f);
    for (int d = 0; d < whole; d += kLanes) total = add(total, load(x + d));
    if (rest) total = add(total, load_first(x + whole, rest));
    const F mean = all(sum(total) / count);
    for (int d = 0; d < whole; d += kLanes) {
      const F difference = sub(load(x + d), mean);
      squares = fma(difference, difference, squares);
    }
    if (rest) {
      const F difference = keep_first(sub(load_first(x + whole, rest), mean), rest, 0.0f);
      squares = fma(difference, difference, squares);
    }
    const F factor = all(1.0f / __builtin_sqrtf(sum(squares) / count + 1e-5f));
    for (int d = 0; d < whole; d += kLanes) {
      store(y + d, fma(mul(sub(load(x + d), mean), factor), load(gamma + d), load(beta + d)));
    }
    if (rest) {
      const F normal = mul(sub(load_first(x + whole, rest), mean), factor);
      store_first(y + whole, fma(normal, load_first(gamma + whole, rest), load_first(beta + whole, rest)), rest);
    }
  }
}

// Largest magnitude of a multiple of 16 values as `scalar.cpp` has it: 1 of zeros, finite, what is no number left out.
INLINE float largest(const float* x, int count) {
  F top = all(0.0f);
  for (int k = 0; k < count; k += kLanes) top = max(absolute(load(x + k)), top);
  const float found = highest(top);
  return found == 0.0f ? 1.0f : found < __FLT_MAX__ ? found : __FLT_MAX__;
}

// To steps of 8 bits: nearest, within -127 .. 127, 0 where it is no number
INLINE I steps_of(F x, F steps) { return to_int(within(mul(x, steps), 127.0f)); }

INLINE void quantize_row(const float* x, int K, int8_t* values, float* scale, int32_t* sum_of_values) {
  const float top = largest(x, K);
  const F steps = all(127.0f / top);
  I total = all_int(0);
  for (int k = 0; k < K; k += kLanes) {
    const I v = steps_of(load(x + k), steps);
    total = add_int(total, v);
    store_bytes(values + k, v);
  }
  *scale = top / 127.0f;
  *sum_of_values = sum_int(total);
}

void quantize(const float* x, int R, int K, int stride, const QuantizedRows& out) {
  for (int r = 0; r < R; ++r) {
    quantize_row(x + times(r, stride), K, out.values + times(r, K), out.scales + r, out.sums + r);
  }
}

void to_bfloat16(const float* x, size_t count, uint16_t* y) {
  size_t n = 0;
  for (; n + kLanes <= count; n += kLanes) store_bfloat16(y + n, load(x + n));
  if (n == count) return;
  uint16_t last[kLanes];
  store_bfloat16(last, load_first(x + n, static_cast<int>(count - n)));
  std::memcpy(y + n, last, (count - n) * sizeof *y);
}

}  // namespace
}  // namespace awc

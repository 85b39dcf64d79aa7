// Attention of the encoder's frames to each other, in whole numbers of 16 bits: twice as many in a product as float32.
//
// Queries and keys are steps of their own largest value, values steps of the largest of their channel, probabilities
// steps that suit each query. All sums fit 32 bits, so they are exact.
#pragma once

#include "simd_products.h"

namespace awc {
namespace {

constexpr float kMostSteps = 4095.0f;           // of queries, keys and values: 64 x 4095 x 4095 < 2^31
constexpr float kMostProbability = 32767.0f;    // of one frame
constexpr float kAllProbabilities = 500000.0f;  // of all frames, before they are rounded: (500000 + T / 2) x 4095 < 2^31

// Work space of one head. TP = T rounded up to 32; what lies beyond T is 0 in keys and values.
struct HeadWork {
  int16_t* keys;       // panels of 16 frames, [TP/16][32][16][2]
  int16_t* values;     // panels of 16 channels, [4][TP/2][16][2]
  float* key_scales;   // [TP]
  float* value_scales; // [64]
  int16_t* queries;    // [rows][64]
  float* query_scales; // [rows], times log2(e) / 8
  float* scores;       // [rows][TP], int32 at first
  int16_t* weights;    // [rows][TP]
  float* inverse;      // [rows]
};

INLINE I steps_of_16_bits(F x, F steps) { return to_int(within(mul(x, steps), kMostSteps)); }

// to[64] of 16 bits; the size of a step
INLINE float to_steps(const float* x, int16_t* to) {
  const float top = largest(x, kHeadWidth);
  const F steps = all(kMostSteps / top);
  for (int d = 0; d < kHeadWidth; d += kLanes) store_int16(to + d, steps_of_16_bits(load(x + d), steps));
  return top / kMostSteps;
}

INLINE void pack_keys(const float* k, size_t ld, int T, const HeadWork& to) {
  for (int t = 0; t < T; ++t) {
    int16_t row[kHeadWidth];
    to.key_scales[t] = to_steps(k + static_cast<size_t>(t) * ld, row);
    int16_t* column = to.keys + times(t / kLanes, kLanes * kHeadWidth) + t % kLanes * 2;
    for (int g = 0; g < kHeadWidth / 2; ++g) std::memcpy(column + g * kLanes * 2, row + g * 2, 4);
  }
}

INLINE void pack_values(const float* v, size_t ld, int T, int TP, const HeadWork& to) {
  float steps[kHeadWidth];
  for (int d = 0; d < kHeadWidth; d += kLanes) {
    F top = all(0.0f);
    for (int t = 0; t < T; ++t) top = max(absolute(load(v + static_cast<size_t>(t) * ld + d)), top);
    store(steps + d, top);
  }
  for (int d = 0; d < kHeadWidth; ++d) {
    const float top = steps[d] == 0.0f ? 1.0f : steps[d] < __FLT_MAX__ ? steps[d] : __FLT_MAX__;
    to.value_scales[d] = top / kMostSteps;
    steps[d] = kMostSteps / top;
  }
  int16_t rows[2][kHeadWidth];
  for (int t = 0; t < T; t += 2) {
    for (int i = 0; i < 2; ++i) {
      for (int d = 0; d < kHeadWidth; d += kLanes) {
        const F x = t + i < T ? load(v + static_cast<size_t>(t + i) * ld + d) : all(0.0f);
        store_int16(rows[i] + d, steps_of_16_bits(x, load(steps + d)));
      }
    }
    for (int d = 0; d < kHeadWidth; ++d) {
      int16_t* group = to.values + times(d / kLanes, kLanes * TP) + static_cast<size_t>(t) * kLanes + d % kLanes * 2;
      group[0] = rows[0][d];
      group[1] = rows[1][d];
    }
  }
}

// scores[TP] int32 of one query -> its weights, and 1 / their sum. exp(score - highest) is at most 1; a step is so small
// that the largest and the sum of all just fit.
INLINE float weights_of(float* scores, const float* key_scales, float query_scale, int T, int TP, int16_t* weights) {
  const auto score = [&](int t) {  // in steps of the query
    return mul(to_float(load_int(reinterpret_cast<const int32_t*>(scores) + t)), load(key_scales + t));
  };
  const int whole = T / kLanes * kLanes;
  F top = all(-kInfinity);
  for (int t = 0; t < whole; t += kLanes) {
    const F s = score(t);
    store(scores + t, s);
    top = max(s, top);
  }
  for (int t = whole; t < TP; t += kLanes) {
    const F s = t < T ? keep_first(score(t), T - t, -kInfinity) : all(-kInfinity);
    store(scores + t, s);
    top = max(s, top);
  }
  const F scale = all(query_scale), less = all(-highest(top) * query_scale);
  F total = all(0.0f);
  for (int t = 0; t < TP; t += kLanes) {
    const F e = exp2_of(fma(load(scores + t), scale, less));
    store(scores + t, e);
    total = add(total, e);
  }
  const float most = kAllProbabilities / sum(total);
  const F steps = all(most < kMostProbability ? most : kMostProbability);
  I all_steps = all_int(0);
  for (int t = 0; t < TP; t += kLanes) {
    const I p = to_int(mul(load(scores + t), steps));
    all_steps = add_int(all_steps, p);
    store_int16(weights + t, p);
  }
  return 1.0f / static_cast<float>(sum_int(all_steps));
}

// `rows` queries from q on -> out
INLINE void attend_to_all(const HeadWork& work, const float* q, int rows, int T, int TP, float* out, size_t D) {
  constexpr int P = Int16Product::kPanels, kWidth = P * kLanes;
  constexpr size_t kPanelOfKeys = static_cast<size_t>(kHeadWidth) * kLanes * sizeof(int16_t);
  for (int r = 0; r < rows; ++r) {
    work.query_scales[r] = to_steps(q + static_cast<size_t>(r) * 3 * D, work.queries + r * kHeadWidth) * (0.125f * 1.44269504f);
  }
  for (int t = 0; t < TP; t += kWidth) {
    multiply<Int16Product>(rows, {reinterpret_cast<Bytes>(work.queries), kHeadWidth * sizeof(int16_t),
                                  reinterpret_cast<Bytes>(work.keys) + t / kLanes * kPanelOfKeys, kPanelOfKeys,
                                  kHeadWidth / 2, nullptr, work.scores + t, static_cast<size_t>(TP)});
  }
  for (int r = 0; r < rows; ++r) {
    const size_t row = times(r, TP);
    work.inverse[r] = weights_of(work.scores + row, work.key_scales, work.query_scales[r], T, TP, work.weights + row);
  }
  const size_t panel = static_cast<size_t>(TP) * kLanes * sizeof(int16_t);
  alignas(64) int32_t sums[Int16Product::kRows * kWidth];
  for (int d = 0; d < kHeadWidth; d += kWidth) {
    multiply<Int16Product>(rows, {reinterpret_cast<Bytes>(work.weights), static_cast<size_t>(TP) * sizeof(int16_t),
                                  reinterpret_cast<Bytes>(work.values) + d / kLanes * panel, panel, TP / 2, nullptr, sums, kWidth});
    for (int r = 0; r < rows; ++r) {
      for (int at = 0; at < kWidth; at += kLanes) {
        const F scales = mul(load(work.value_scales + d + at), all(work.inverse[r]));
        store(out + r * D + (d + at), mul(to_float(load_int(sums + r * kWidth + at)), scales));
      }
    }
  }
}

void encoder_attention(const float* qkv, int T, int H, float* out, Scratch& scratch) {
  constexpr int Most = Int16Product::kRows;
  const int TP = round_up(T, kColumns);
  const size_t D = times(H, kHeadWidth), head = times(TP, kHeadWidth);
  float* scales = scratch.get<float>(2, static_cast<size_t>(TP) + kHeadWidth + 2 * Most);
  const HeadWork work{scratch.get<int16_t>(0, head), scratch.get<int16_t>(1, head), scales, scales + TP,
                      scratch.get<int16_t>(3, Most * kHeadWidth), scales + TP + kHeadWidth,
                      scratch.get<float>(4, times(Most, TP)), scratch.get<int16_t>(5, times(Most, TP)),
                      scales + TP + kHeadWidth + Most};
  std::memset(work.keys, 0, head * sizeof(int16_t));
  std::memset(work.values, 0, head * sizeof(int16_t));
  for (int t = T; t < TP; ++t) work.key_scales[t] = 0.0f;
  for (int h = 0; h < H; ++h) {
    const float* q = qkv + h * kHeadWidth;
    pack_keys(q + D, 3 * D, T, work);
    pack_values(q + 2 * D, 3 * D, T, TP, work);
    for (int t = 0; t < T;) {
      const int rows = rows_of_tile(T - t, Most);
      attend_to_all(work, q + static_cast<size_t>(t) * 3 * D, rows, T, TP, out + static_cast<size_t>(t) * D + h * kHeadWidth, D);
      t += rows;
    }
  }
}

}  // namespace
}  // namespace awc

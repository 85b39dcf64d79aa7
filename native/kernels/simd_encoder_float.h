// Attention of the encoder's frames to each other, in the numbers of FloatProduct.
#pragma once

#include "simd_products.h"

namespace awc {
namespace {

// keys: panels of 16 frames, [TP/16][64 / kTogether][16][kTogether]; k[T] rows `ld` apart, padding left as it is
INLINE void panels_of_keys(const float* k, size_t ld, int T, Number* to) {
  constexpr int kGroups = kHeadWidth / kTogether;
  for (int t = 0; t < T; ++t) {
    Number row[kHeadWidth];
    to_numbers(k + static_cast<size_t>(t) * ld, kHeadWidth, row);
    Number* column = to + times(t / kLanes, kLanes * kHeadWidth) + t % kLanes * kTogether;
    for (int g = 0; g < kGroups; ++g) std::memcpy(column + g * kLanes * kTogether, row + g * kTogether, 4);
  }
}

// values: panels of 16 channels, [4][TP / kTogether][16][kTogether]
INLINE void panels_of_values(const float* v, size_t ld, int T, int TP, Number* to) {
  Number rows[2][kHeadWidth];
  for (int t = 0; t < T; t += kTogether) {
    for (int i = 0; i < kTogether; ++i) {
      if (t + i < T) to_numbers(v + static_cast<size_t>(t + i) * ld, kHeadWidth, rows[i]);
      else std::memset(rows[i], 0, sizeof rows[i]);
    }
    for (int panel = 0; panel < kHeadWidth / kLanes; ++panel) {
      Number* group = to + times(panel, kLanes * TP) + static_cast<size_t>(t) * kLanes;
      for (int d = 0; d < kLanes; ++d) {
        for (int i = 0; i < kTogether; ++i) group[d * kTogether + i] = rows[i][panel * kLanes + d];
      }
    }
  }
}

// Work space of one head.
struct HeadWork {
  Number *keys, *values, *queries, *weights;
  float *scores, *inverse;
};

// `rows` queries, scaled by log2(e) / 8, against all keys -> weights exp(score - highest), and 1 / their sums
INLINE void encoder_weights(const HeadWork& work, int rows, int T, int TP) {
  constexpr int P = FloatProduct::kPanels;
  constexpr size_t kPanel = static_cast<size_t>(kHeadWidth) * kLanes * sizeof(Number);
  for (int t = 0; t < TP; t += P * kLanes) {
    multiply<FloatProduct>(rows, {reinterpret_cast<Bytes>(work.queries), kHeadWidth * sizeof(Number),
                                  reinterpret_cast<Bytes>(work.keys) + t / kLanes * kPanel, kPanel,
                                  kHeadWidth / kTogether, nullptr, work.scores + t, static_cast<size_t>(TP)});
  }
  for (int r = 0; r < rows; ++r) {
    float* row = work.scores + times(r, TP);
    for (int t = T; t < TP; ++t) row[t] = kNone;
    const F top = all(highest_of(row, TP));
    F total = all(0.0f);
    for (int t = 0; t < TP; t += kLanes) {
      const F e = exp2_of(sub(load(row + t), top));
      total = add(total, e);
      store_numbers(work.weights + times(r, TP) + t, e);
    }
    work.inverse[r] = 1.0f / sum(total);
  }
}

// out[rows] = weights x values / sums
INLINE void encoder_values(const HeadWork& work, int rows, int TP, float* out, size_t ld) {
  constexpr int P = FloatProduct::kPanels;
  const size_t panel = static_cast<size_t>(TP) * kLanes * sizeof(Number);
  for (int d = 0; d < kHeadWidth; d += P * kLanes) {
    multiply<FloatProduct>(rows, {reinterpret_cast<Bytes>(work.weights), static_cast<size_t>(TP) * sizeof(Number),
                                  reinterpret_cast<Bytes>(work.values) + d / kLanes * panel, panel, TP / kTogether,
                                  nullptr, out + d, ld});
  }
  for (int r = 0; r < rows; ++r) {
    for (int d = 0; d < kHeadWidth; d += kLanes) store(out + r * ld + d, mul(load(out + r * ld + d), all(work.inverse[r])));
  }
}

void encoder_attention(const float* qkv, int T, int H, float* out, Scratch& scratch) {
  constexpr int Most = FloatProduct::kRows;
  const int TP = round_up(T, kColumns);
  const size_t D = times(H, kHeadWidth), head = times(TP, kHeadWidth);
  HeadWork work{scratch.get<Number>(0, head), scratch.get<Number>(1, head),    scratch.get<Number>(2, Most * kHeadWidth),
                scratch.get<Number>(3, times(Most, TP)), scratch.get<float>(4, times(Most, TP)), scratch.get<float>(5, Most)};
  std::memset(work.keys, 0, head * sizeof(Number));
  std::memset(work.values, 0, head * sizeof(Number));
  for (int h = 0; h < H; ++h) {
    const float* q = qkv + h * kHeadWidth;
    panels_of_keys(q + D, 3 * D, T, work.keys);
    panels_of_values(q + 2 * D, 3 * D, T, TP, work.values);
    for (int t = 0; t < T; t += Most) {
      const int rows = least(Most, T - t);
      for (int r = 0; r < rows; ++r) {
        for (int d = 0; d < kHeadWidth; d += kLanes) {
          store_numbers(work.queries + r * kHeadWidth + d,
                        mul(load(q + static_cast<size_t>(t + r) * 3 * D + d), all(0.125f * 1.44269504f)));
        }
      }
      encoder_weights(work, rows, T, TP);
      encoder_values(work, rows, TP, out + static_cast<size_t>(t) * D + h * kHeadWidth, D);
    }
  }
}

}  // namespace
}  // namespace awc

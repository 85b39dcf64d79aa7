// Attention of the decoder: of its tokens to those before, and to the audio.
#pragma once

#include "simd_products.h"

namespace awc {
namespace {

// -------------------------------------------------------------------------------------- self-attention of the decoder

// scores[n] -> exp(score - highest), 1 / their sum; scores has room for a multiple of 16
INLINE float exponentials(float* scores, int n) {
  const int padded = round_up(n, kLanes);
  for (int j = n; j < padded; ++j) scores[j] = kNone;
  F top = load(scores), total = all(0.0f);
  for (int j = kLanes; j < padded; j += kLanes) top = max(load(scores + j), top);
  const F highest_score = all(highest(top));
  for (int j = 0; j < padded; j += kLanes) {
    const F e = exp_of(sub(load(scores + j), highest_score));
    total = add(total, e);
    store(scores + j, e);
  }
  return 1.0f / sum(total);
}

void self_attention(const float* q, const uint16_t* const* keys, const uint16_t* const* values, int n, int H, float* out,
                    Scratch& scratch) {
  constexpr int P = kHeadWidth / kLanes;
  float* scores = scratch.get<float>(0, static_cast<size_t>(round_up(n, kLanes)));
  for (int h = 0; h < H; ++h, q += kHeadWidth, out += kHeadWidth) {
    const int at = h * kHeadWidth;
    F query[P], acc[P];
    UNROLL for (int p = 0; p < P; ++p) query[p] = load(q + p * kLanes), acc[p] = all(0.0f);
    for (int j = 0; j < n; ++j) {
      F s = mul(query[0], load_bfloat16(keys[j] + at));
      UNROLL for (int p = 1; p < P; ++p) s = fma(query[p], load_bfloat16(keys[j] + at + p * kLanes), s);
      scores[j] = sum(s) * 0.125f;
    }
    const F inverse = all(exponentials(scores, n));
    for (int j = 0; j < n; ++j) {
      const F weight = all(scores[j]);
      UNROLL for (int p = 0; p < P; ++p) acc[p] = fma(weight, load_bfloat16(values[j] + at + p * kLanes), acc[p]);
    }
    UNROLL for (int p = 0; p < P; ++p) store(out + p * kLanes, mul(acc[p], inverse));
  }
}

// ------------------------------------------------------------------------------------- cross-attention of the decoder
//
// packed, of H heads: key scales [H][TP], value scales [H][64], keys [H] x panels of 16 frames [TP/16][16][16][4] as the
// weights of a linear layer, values [H] x panels of 16 channels [4][TP/4][16][4]. TP = T rounded up to 32, padding 0.

struct Cross {
  float *key_scales, *value_scales;
  uint8_t* keys;
  int8_t* values;
};

INLINE Cross cross_of(const void* packed, int TP, int H) {
  float* key_scales = const_cast<float*>(static_cast<const float*>(packed));
  float* value_scales = key_scales + times(H, TP);
  uint8_t* keys = reinterpret_cast<uint8_t*>(value_scales + times(H, kHeadWidth));
  return {key_scales, value_scales, keys, reinterpret_cast<int8_t*>(keys + times(H, TP) * kHeadWidth)};
}
INLINE Cross head_of(const Cross& c, int TP, int h) {
  const size_t bytes = times(h, TP) * kHeadWidth;
  return {c.key_scales + times(h, TP), c.value_scales + times(h, kHeadWidth), c.keys + bytes, c.values + bytes};
}

size_t cross_bytes(int T, int H) {
  const int TP = round_up(T, kColumns);
  return sizeof(float) * times(H, TP + kHeadWidth) + 2 * times(H, TP) * kHeadWidth;
}

INLINE void pack_key(const float* k, int t, const Cross& to) {
  int8_t values[kHeadWidth];
  int32_t unused;
  quantize_row(k, kHeadWidth, values, to.key_scales + t, &unused);
  uint8_t* column = to.keys + times(t / kLanes, kLanes * kHeadWidth) + t % kLanes * 4;
  for (int g = 0; g < kHeadWidth / 4; ++g) {
    for (int i = 0; i < 4; ++i) column[g * kGroup + i] = static_cast<uint8_t>(values[g * 4 + i] + Int8Product::kOffset);
  }
}

// Four frames from t on; steps[64]: steps of 8 bits in 1
INLINE void pack_values(const float* v, size_t ld, int t, int T, int TP, const float* steps, const Cross& to) {
  int8_t rows[4][kHeadWidth];
  for (int i = 0; i < 4; ++i) {
    for (int d = 0; d < kHeadWidth; d += kLanes) {
      const bool there = t + i < T;
      const F x = there ? load(v + static_cast<size_t>(t + i) * ld + d) : all(0.0f);
      store_bytes(rows[i] + d, steps_of(x, load(steps + d)));
    }
  }
  for (int d = 0; d < kHeadWidth; ++d) {
    int8_t* group = to.values + times(d / kLanes, kLanes * TP) + static_cast<size_t>(t) * kLanes + d % kLanes * 4;
    for (int i = 0; i < 4; ++i) group[i] = rows[i][d];
  }
}

void cross_pack(const float* kv, int T, int H, void* packed, Scratch&) {
  const int TP = round_up(T, kColumns);
  const size_t D = times(H, kHeadWidth), ld = 2 * D;
  const Cross all_heads = cross_of(packed, TP, H);
  for (int h = 0; h < H; ++h) {
    const Cross to = head_of(all_heads, TP, h);
    const float *k = kv + h * kHeadWidth, *v = k + D;
    float steps[kHeadWidth];
    for (int d = 0; d < kHeadWidth; d += kLanes) {
      F top = all(0.0f);
      for (int t = 0; t < T; ++t) top = max(absolute(load(v + static_cast<size_t>(t) * ld + d)), top);
      store(steps + d, top);
    }
    for (int d = 0; d < kHeadWidth; ++d) {
      const float top = steps[d] == 0.0f ? 1.0f : steps[d] < __FLT_MAX__ ? steps[d] : __FLT_MAX__;
      to.value_scales[d] = top / 127.0f;
      steps[d] = 127.0f / top;
    }
    std::memset(to.keys, Int8Product::kOffset, times(TP, kHeadWidth));
    for (int t = T; t < TP; ++t) to.key_scales[t] = 0.0f;
    for (int t = 0; t < T; ++t) pack_key(k + static_cast<size_t>(t) * ld, t, to);
    for (int t = 0; t < TP; t += 4) pack_values(v, ld, t, T, TP, steps, to);
  }
}

constexpr int kQueries = ProbabilityProduct::kRows;  // rows that attend at once

struct Queries {  // of one head, in 8 bits
  alignas(64) int8_t values[kQueries * kHeadWidth];
  float scales[kQueries];
  int32_t sums[kQueries];
};

INLINE void quantize_queries(const float* q, size_t ld, int rows, Queries& to) {
  for (int r = 0; r < rows; ++r) {
    quantize_row(q + r * ld, kHeadWidth, to.values + r * kHeadWidth, to.scales + r, to.sums + r);
    to.scales[r] *= 0.125f;
  }
}

// scores[rows][TP] = q k / 8
INLINE void score(const Cross& head, int TP, const Queries& q, int rows, float* scores) {
  constexpr int kWidth = Int8Product::kPanels * kLanes;
  constexpr size_t kPanel = static_cast<size_t>(kHeadWidth) * kLanes;
  alignas(64) int32_t sums[kQueries * kWidth];
  for (int t = 0; t < TP; t += kWidth) {
    const Bytes keys = head.keys + t / kLanes * kPanel, soon = t + kWidth < TP ? keys + Int8Product::kPanels * kPanel : nullptr;
    multiply<Int8Product>(rows, {reinterpret_cast<Bytes>(q.values), kHeadWidth, keys, kPanel, kHeadWidth / 4, soon, sums, kWidth});
    for (int at = 0; at < kWidth; at += kLanes) {
      const F key_scales = load(head.key_scales + t + at);
      for (int r = 0; r < rows; ++r) {
        const F product = product_of(sums + r * kWidth + at, q.sums[r]);
        store(scores + times(r, TP) + (t + at), mul(product, mul(key_scales, all(q.scales[r]))));
      }
    }
  }
}

// exp(score - highest) in 2 x kBits bits, split in a high and a low byte: high[TP], low[TP]; the sum of them all
INLINE int32_t probabilities(float* scores, int T, int TP, uint8_t* high, uint8_t* low) {
  constexpr int kBits = ProbabilityProduct::kBits, kMost = (1 << kBits) - 1;
  for (int t = T; t < TP; ++t) scores[t] = kNone;
  F top = load(scores);
  for (int t = kLanes; t < TP; t += kLanes) top = max(load(scores + t), top);
  const F highest_score = all(highest(top)), scale = all(static_cast<float>(kMost << kBits));
  I total = all_int(0);
  for (int t = 0; t < TP; t += kLanes) {
    const I p = to_int(mul(exp_of(sub(load(scores + t), highest_score)), scale));
    total = add_int(total, p);
    store_bytes(high + t, shift_right(p, kBits));
    store_bytes(low + t, mask_int(p, kMost));
  }
  return sum_int(total);
}

// out[rows][64] = (high x 2^kBits + low) x values; each half is at most 1500 x 255 x 127, within 32 bits
INLINE void attend(const Cross& head, int TP, const uint8_t* high, const uint8_t* low, const float* inverse, int rows,
                   float* out, size_t ld) {
  constexpr int kWidth = ProbabilityProduct::kPanels * kLanes;
  const size_t panel = times(TP, kLanes);
  const F factor = all(static_cast<float>(1 << ProbabilityProduct::kBits));
  alignas(64) int32_t sums[2][kQueries * kWidth];
  for (int d = 0; d < kHeadWidth; d += kWidth) {
    const Bytes values = reinterpret_cast<Bytes>(head.values) + d / kLanes * panel;
    multiply<ProbabilityProduct>(rows, {high, static_cast<size_t>(TP), values, panel, TP / 4, nullptr, sums[0], kWidth});
    multiply<ProbabilityProduct>(rows, {low, static_cast<size_t>(TP), values, panel, TP / 4, nullptr, sums[1], kWidth});
    for (int at = 0; at < kWidth; at += kLanes) {
      const F scales = load(head.value_scales + d + at);
      for (int r = 0; r < rows; ++r) {
        const F of_high = to_float(load_int(sums[0] + r * kWidth + at)), of_low = to_float(load_int(sums[1] + r * kWidth + at));
        store(out + r * ld + (d + at), mul(fma(of_high, factor, of_low), mul(scales, all(inverse[r]))));
      }
    }
  }
}

void cross_attention(const void* packed, int T, int H, const float* q, int R, float* out, Scratch& scratch) {
  const int TP = round_up(T, kColumns);
  const size_t D = times(H, kHeadWidth);
  const Cross all_heads = cross_of(packed, TP, H);
  float* scores = scratch.get<float>(0, times(kQueries, TP));
  uint8_t* high = scratch.get<uint8_t>(1, times(kQueries, TP));
  uint8_t* low = scratch.get<uint8_t>(2, times(kQueries, TP));
  Queries queries;
  float inverse[kQueries];
  for (int h = 0; h < H; ++h) {
    const Cross head = head_of(all_heads, TP, h);
    for (int first = 0; first < R;) {
      const int rows = rows_of_tile(R - first, kQueries);
      const size_t at = static_cast<size_t>(first) * D + times(h, kHeadWidth);
      quantize_queries(q + at, D, rows, queries);
      score(head, TP, queries, rows, scores);
      for (int r = 0; r < rows; ++r) {
        const size_t row = times(r, TP);
        inverse[r] = 1.0f / static_cast<float>(probabilities(scores + row, T, TP, high + row, low + row));
      }
      attend(head, TP, high, low, inverse, rows, out + at, D);
      first += rows;
    }
  }
}

void cross_scores(const void* packed, int T, int H, int head, const float* q, int R, int frames, float* scores,
                  Scratch& scratch) {
  const int TP = round_up(T, kColumns);
  const size_t D = times(H, kHeadWidth);
  const Cross one = head_of(cross_of(packed, TP, H), TP, head);
  float* padded = scratch.get<float>(0, static_cast<size_t>(TP));
  Queries query;
  for (int r = 0; r < R; ++r) {
    quantize_queries(q + static_cast<size_t>(r) * D + times(head, kHeadWidth), D, 1, query);
    score(one, round_up(frames, kColumns), query, 1, padded);
    std::memcpy(scores + times(r, frames), padded, sizeof(float) * static_cast<size_t>(frames));
  }
}

}  // namespace
}  // namespace awc

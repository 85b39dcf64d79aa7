// The reference of every kernel: plain loops over plain layouts. See kernels.h for what each computes.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "kernels.h"

namespace awc {
namespace {

float gelu(float x) { return 0.5f * x * (1.0f + std::erf(x * 0.70710678f)); }

uint16_t bfloat16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40);  // stays not a number
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

float from_bfloat16(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float y;
  std::memcpy(&y, &bits, 4);
  return y;
}

void layer_norm(const float* x, int R, int D, const float* gamma, const float* beta, float* y) {
  for (int r = 0; r < R; ++r, x += D, y += D) {
    float mean = 0, variance = 0;
    for (int d = 0; d < D; ++d) mean += x[d];
    mean /= static_cast<float>(D);
    for (int d = 0; d < D; ++d) variance += (x[d] - mean) * (x[d] - mean);
    const float factor = 1.0f / std::sqrt(variance / static_cast<float>(D) + 1e-5f);
    for (int d = 0; d < D; ++d) y[d] = (x[d] - mean) * factor * gamma[d] + beta[d];
  }
}

// One value to 8 bits; what is not a number becomes 0.
int8_t step_of(float x, float steps) {
  const float scaled = x * steps;
  if (!(scaled == scaled)) return 0;
  return static_cast<int8_t>(std::nearbyint(std::clamp(scaled, -127.0f, 127.0f)));
}

float largest(const float* x, int count) {
  float top = 0;
  for (int k = 0; k < count; ++k) {
    if (std::fabs(x[k]) > top) top = std::fabs(x[k]);  // not a number compares as false
  }
  return top == 0 ? 1.0f : std::min(top, std::numeric_limits<float>::max());
}

void quantize(const float* x, int R, int K, int stride, const QuantizedRows& out) {
  for (int r = 0; r < R; ++r) {
    const float* row = x + static_cast<size_t>(r) * stride;
    const float top = largest(row, K);
    int8_t* values = out.values + static_cast<size_t>(r) * K;
    int32_t sum = 0;
    for (int k = 0; k < K; ++k) sum += values[k] = step_of(row[k], 127.0f / top);
    out.scales[r] = top / 127.0f;
    out.sums[r] = sum;
  }
}

void to_bfloat16(const float* x, size_t count, uint16_t* y) {
  for (size_t n = 0; n < count; ++n) y[n] = bfloat16(x[n]);
}

// -------------------------------------------------------------------------------- linear: factors[N] bias[N] W[N][K]

struct Linear {
  const float *factors, *bias;
  const int8_t* W;
};

Linear linear_of(const void* packed, int N) {
  const float* factors = static_cast<const float*>(packed);
  return {factors, factors + N, reinterpret_cast<const int8_t*>(factors + 2 * static_cast<size_t>(N))};
}

size_t linear_bytes(int N, int K) { return static_cast<size_t>(N) * (8 + static_cast<size_t>(K)); }

void linear_pack(const int8_t* W, const float* factors, const float* bias, int N, int K, void* packed) {
  float* to = static_cast<float*>(packed);
  for (int n = 0; n < N; ++n) to[n] = factors[n], to[N + n] = bias ? bias[n] : 0.0f;
  std::memcpy(to + 2 * static_cast<size_t>(N), W, static_cast<size_t>(N) * K);
}

void linear(const QuantizedRows& x, int R, const void* packed, int N, int K, int first, int last, Then then,
            float* out, int stride) {
  const Linear weights = linear_of(packed, N);
  for (int r = 0; r < R; ++r) {
    const int8_t* row = x.values + static_cast<size_t>(r) * K;
    float* to = out + static_cast<size_t>(r) * stride;
    for (int n = first; n < last; ++n) {
      const int8_t* column = weights.W + static_cast<size_t>(n) * K;
      int32_t sum = 0;
      for (int k = 0; k < K; ++k) sum += row[k] * column[k];
      const float y = static_cast<float>(sum) * (x.scales[r] * weights.factors[n]) + weights.bias[n];
      float& place = to[n - first];
      place = then == Then::kGelu ? gelu(y) : then == Then::kAdd ? place + y : y;
    }
  }
}

void linear_row(const void* packed, int N, int K, int n, float* out) {
  const Linear weights = linear_of(packed, N);
  for (int k = 0; k < K; ++k) out[k] = weights.W[static_cast<size_t>(n) * K + k] * weights.factors[n];
}

float log_sum_exp(const float* logits, int count) {
  float top = -std::numeric_limits<float>::infinity(), sum = 0;
  for (int n = 0; n < count; ++n) top = std::max(top, logits[n]);
  if (!(top > -std::numeric_limits<float>::infinity())) return top;
  for (int n = 0; n < count; ++n) sum += std::exp(logits[n] - top);
  return top + std::log(sum);
}

void project(const QuantizedRows& x, int R, const void* packed, int V, int K, const Projection& projection,
             Scratch& scratch) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  float* logits = scratch.get<float>(0, static_cast<size_t>(V));
  int32_t* order = scratch.get<int32_t>(1, static_cast<size_t>(V));
  const int best = projection.best, told = std::min(best, V);
  for (int r = 0; r < R; ++r) {
    linear({x.values + static_cast<size_t>(r) * K, x.scales + r, x.sums + r}, 1, packed, V, K, 0, V, Then::kStore,
           logits, V);
    for (int n = 0; n < V; ++n) {
      if ((projection.suppressed && projection.suppressed[n]) || !(logits[n] == logits[n])) logits[n] = kNone;
      order[n] = n;
    }
    projection.log_sum[r] = log_sum_exp(logits, V);
    if (projection.text_log_sum) projection.text_log_sum[r] = log_sum_exp(logits, std::min(V, projection.text_end));
    std::partial_sort(order, order + told, order + V, [&](int a, int b) {
      return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
    });
    for (int n = 0; n < best; ++n) {
      const bool there = n < told && logits[order[n]] > kNone;
      projection.best_logits[static_cast<size_t>(r) * best + n] = there ? logits[order[n]] : kNone;
      projection.best_tokens[static_cast<size_t>(r) * best + n] = there ? order[n] : -1;
    }
  }
}

// ---------------------------------------------------------------------------------- convolution: bias[N] W[N][3][C]

size_t convolution_bytes(int N, int C) { return sizeof(float) * static_cast<size_t>(N) * (1 + 3 * static_cast<size_t>(C)); }

void convolution_pack(const float* W, const float* bias, int N, int C, void* packed) {
  float* to = static_cast<float*>(packed);
  std::memcpy(to, bias, sizeof(float) * static_cast<size_t>(N));
  to += N;
  for (int n = 0; n < N; ++n) {
    for (int place = 0; place < 3; ++place) {
      for (int c = 0; c < C; ++c) *to++ = W[(static_cast<size_t>(n) * C + c) * 3 + place];
    }
  }
}

void convolution(const float* x, int T, int C, int step, const void* packed, int N, const float* add, float* out,
                 Scratch&) {
  const float* bias = static_cast<const float*>(packed);
  const float* W = bias + N;
  for (int t = 0; t * step < T; ++t) {
    for (int n = 0; n < N; ++n) {
      float sum = bias[n];
      for (int place = 0; place < 3; ++place) {
        const int frame = t * step + place - 1;
        if (frame < 0 || frame >= T) continue;
        const float* weights = W + (static_cast<size_t>(n) * 3 + place) * C;
        const float* values = x + static_cast<size_t>(frame) * C;
        for (int c = 0; c < C; ++c) sum += values[c] * weights[c];
      }
      const size_t at = static_cast<size_t>(t) * N + n;
      out[at] = gelu(sum) + (add ? add[at] : 0.0f);
    }
  }
}

// ------------------------------------------------------------------------------------------------------- attention

// scores[n] -> exp(score - largest); the sum of them
float exponentials(float* scores, int n) {
  float top = -std::numeric_limits<float>::infinity(), sum = 0;
  for (int j = 0; j < n; ++j) top = std::max(top, scores[j]);
  for (int j = 0; j < n; ++j) sum += scores[j] = std::exp(scores[j] - top);
  return sum;
}

void encoder_attention(const float* qkv, int T, int H, float* out, Scratch& scratch) {
  const size_t D = static_cast<size_t>(H) * kHeadWidth;
  float* scores = scratch.get<float>(0, static_cast<size_t>(T));
  for (int h = 0; h < H; ++h) {
    for (int t = 0; t < T; ++t) {
      const float* q = qkv + t * 3 * D + h * kHeadWidth;
      for (int j = 0; j < T; ++j) {
        const float* k = qkv + j * 3 * D + D + h * kHeadWidth;
        float sum = 0;
        for (int d = 0; d < kHeadWidth; ++d) sum += q[d] * k[d];
        scores[j] = sum * 0.125f;
      }
      const float sum = exponentials(scores, T);
      float* to = out + t * D + h * kHeadWidth;
      std::fill(to, to + kHeadWidth, 0.0f);
      for (int j = 0; j < T; ++j) {
        const float* v = qkv + j * 3 * D + 2 * D + h * kHeadWidth;
        for (int d = 0; d < kHeadWidth; ++d) to[d] += scores[j] / sum * v[d];
      }
    }
  }
}

void self_attention(const float* q, const uint16_t* const* keys, const uint16_t* const* values, int n, int H,
                    float* out, Scratch& scratch) {
  float* scores = scratch.get<float>(0, static_cast<size_t>(n));
  for (int h = 0; h < H; ++h, q += kHeadWidth, out += kHeadWidth) {
    const int at = h * kHeadWidth;
    for (int j = 0; j < n; ++j) {
      float sum = 0;
      for (int d = 0; d < kHeadWidth; ++d) sum += q[d] * from_bfloat16(keys[j][at + d]);
      scores[j] = sum * 0.125f;
    }
    const float sum = exponentials(scores, n);
    std::fill(out, out + kHeadWidth, 0.0f);
    for (int j = 0; j < n; ++j) {
      for (int d = 0; d < kHeadWidth; ++d) out[d] += scores[j] / sum * from_bfloat16(values[j][at + d]);
    }
  }
}

// Cross-attention: key scales[H][T], value scales[D], keys[H][T][64], values[H][T][64].

struct Cross {
  const float *key_scales, *value_scales;
  const int8_t *keys, *values;
};

Cross cross_of(const void* packed, int T, int H) {
  const float* scales = static_cast<const float*>(packed);
  const size_t places = static_cast<size_t>(H) * T, width = static_cast<size_t>(H) * kHeadWidth;
  const int8_t* keys = reinterpret_cast<const int8_t*>(scales + places + width);
  return {scales, scales + places, keys, keys + places * kHeadWidth};
}

size_t cross_bytes(int T, int H) {
  const size_t places = static_cast<size_t>(H) * T, width = static_cast<size_t>(H) * kHeadWidth;
  return sizeof(float) * (places + width) + 2 * places * kHeadWidth;
}

void cross_pack(const float* kv, int T, int H, void* packed, Scratch& scratch) {
  const size_t D = static_cast<size_t>(H) * kHeadWidth;
  const Cross to = cross_of(packed, T, H);
  float* key_scales = const_cast<float*>(to.key_scales);
  float* value_scales = const_cast<float*>(to.value_scales);
  float* tops = scratch.get<float>(0, D + static_cast<size_t>(T));
  float* column = tops + D;
  for (size_t d = 0; d < D; ++d) {
    for (int t = 0; t < T; ++t) column[t] = kv[t * 2 * D + D + d];
    tops[d] = largest(column, T);
    value_scales[d] = tops[d] / 127.0f;
  }
  for (int h = 0; h < H; ++h) {
    for (int t = 0; t < T; ++t) {
      const float* k = kv + t * 2 * D + h * kHeadWidth;
      const float* v = k + D;
      const size_t place = static_cast<size_t>(h) * T + t;
      int8_t* keys = const_cast<int8_t*>(to.keys) + place * kHeadWidth;
      int8_t* values = const_cast<int8_t*>(to.values) + place * kHeadWidth;
      const float top = largest(k, kHeadWidth);
      key_scales[place] = top / 127.0f;
      for (int d = 0; d < kHeadWidth; ++d) {
        keys[d] = step_of(k[d], 127.0f / top);
        values[d] = step_of(v[d], 127.0f / tops[h * kHeadWidth + d]);
      }
    }
  }
}

// The scores of one query of one head with the first `frames` frames.
void head_scores(const Cross& cross, int T, int head, const float* q, int frames, float* scores) {
  int8_t query[kHeadWidth];
  float scale;
  int32_t query_sum;
  quantize(q, 1, kHeadWidth, kHeadWidth, {query, &scale, &query_sum});
  for (int t = 0; t < frames; ++t) {
    const size_t place = static_cast<size_t>(head) * T + t;
    int32_t sum = 0;
    for (int d = 0; d < kHeadWidth; ++d) sum += query[d] * cross.keys[place * kHeadWidth + d];
    scores[t] = static_cast<float>(sum) * (cross.key_scales[place] * (scale * 0.125f));
  }
}

void cross_attention(const void* packed, int T, int H, const float* q, int R, float* out, Scratch& scratch) {
  const size_t D = static_cast<size_t>(H) * kHeadWidth;
  const Cross cross = cross_of(packed, T, H);
  float* scores = scratch.get<float>(0, static_cast<size_t>(T));
  for (int r = 0; r < R; ++r) {
    for (int h = 0; h < H; ++h) {
      head_scores(cross, T, h, q + r * D + h * kHeadWidth, T, scores);
      exponentials(scores, T);
      int64_t total = 0, sums[kHeadWidth] = {};
      for (int t = 0; t < T; ++t) {
        const int32_t p = static_cast<int32_t>(std::nearbyint(scores[t] * 65280.0f));  // two bytes: 255 * 256
        const int8_t* values = cross.values + (static_cast<size_t>(h) * T + t) * kHeadWidth;
        total += p;
        for (int d = 0; d < kHeadWidth; ++d) sums[d] += p * values[d];
      }
      float* to = out + r * D + h * kHeadWidth;
      for (int d = 0; d < kHeadWidth; ++d) {
        to[d] = static_cast<float>(sums[d]) / static_cast<float>(total) * cross.value_scales[h * kHeadWidth + d];
      }
    }
  }
}

void cross_scores(const void* packed, int T, int H, int head, const float* q, int R, int frames, float* scores,
                  Scratch&) {
  const size_t D = static_cast<size_t>(H) * kHeadWidth;
  const Cross cross = cross_of(packed, T, H);
  for (int r = 0; r < R; ++r) {
    head_scores(cross, T, head, q + r * D + head * kHeadWidth, frames, scores + static_cast<size_t>(r) * frames);
  }
}

}  // namespace

const Kernels kScalar = {
    "scalar",        layer_norm,       quantize,          to_bfloat16,  linear_bytes,      linear_pack,    linear,
    linear_row,      project,          convolution_bytes, convolution_pack, convolution,   encoder_attention,
    self_attention,  cross_bytes,      cross_pack,        cross_attention,  cross_scores,
};

}  // namespace awc

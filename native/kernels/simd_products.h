// Products of rows with packed weights: the tile that everything rests on, int8 layers, the vocabulary, convolution.
#pragma once

#include "simd_functions.h"

namespace awc {
namespace {

// ------------------------------------------------------------------------------------------------------------- tile
//
// Weights lie in panels of 16 columns: [N/16][groups][16][4 bytes], a group being 4 int8, 2 bfloat16 or 1 float32 of the
// inputs of each column. Rows are plain: `groups` x 4 bytes, `stride` bytes apart. A tile is some rows x the panels that
// the product takes at once; its sums are written as they are, int32 or float32.

constexpr int kGroup = 64;     // bytes of a panel for one group of inputs
constexpr int kColumns = 32;   // outputs are padded to this: the panels of the widest tile
constexpr int kRowBlock = 96;  // rows that stay in the second-level cache while all weights pass by

struct Tile {
  Bytes x;
  size_t stride;
  Bytes w;
  size_t panel;  // bytes from one panel to the next
  int groups;
  Bytes soon;  // panels that are wanted next and may lie in memory still, or null
  void* out;   // [rows][ld] int32 or float32
  size_t ld;
};

INLINE void store_sums(void* to, size_t at, I sums) { store_int(static_cast<int32_t*>(to) + at, sums); }
INLINE void store_sums(void* to, size_t at, F sums) { store(static_cast<float*>(to) + at, sums); }

// Out of line, so that all registers are its own.
template <class Product, int R>
__attribute__((noinline)) void multiply_rows(const Tile& t) {
  constexpr int P = Product::kPanels;
  typename Product::Accumulator acc[R][P];
  UNROLL for (int r = 0; r < R; ++r) {
    UNROLL for (int p = 0; p < P; ++p) acc[r][p] = typename Product::Accumulator{};
  }
  const Bytes x = t.x, w = t.w, soon = t.soon;
  const size_t stride = t.stride, panel = t.panel;
  for (int g = 0; g < t.groups; ++g) {
    if (soon) {
      UNROLL for (int p = 0; p < P; ++p) __builtin_prefetch(soon + p * panel + times(g, kGroup), 0, 2);
    }
    typename Product::Weights b[P];
    UNROLL for (int p = 0; p < P; ++p) b[p] = Product::weights(w + p * panel + times(g, kGroup));
    UNROLL for (int r = 0; r < R; ++r) {
      const auto four = four_bytes(x + r * stride + times(g, 4));
      UNROLL for (int p = 0; p < P; ++p) acc[r][p] = Product::dot(acc[r][p], b[p], four);
    }
  }
  UNROLL for (int r = 0; r < R; ++r) {
    UNROLL for (int p = 0; p < P; ++p) store_sums(t.out, r * t.ld + static_cast<size_t>(p * kLanes), acc[r][p]);
  }
}

// Of 1 .. Product::kRows rows
template <class Product, int R = Product::kRows>
INLINE void multiply(int rows, const Tile& t) {
  if constexpr (R > 1) {
    if (rows < R) return multiply<Product, R - 1>(rows, t);
  }
  multiply_rows<Product, R>(t);
}

// How many of `left` rows the next tile takes, so that all tiles are of nearly the same height.
INLINE int rows_of_tile(int left, int most) {
  const int tiles = (left + most - 1) / most;
  return (left + tiles - 1) / tiles;
}

// All rows x columns first .. last. finish(row, rows, column, sums): a tile's sums, [rows][Product::kPanels * 16].
template <class Product, class Finish>
INLINE void product(int R, Bytes x, size_t stride, Bytes w, int groups, int first, int last, Finish finish) {
  constexpr int kWidth = Product::kPanels * kLanes;
  alignas(64) typename Product::Sum sums[Product::kRows * kWidth];
  const size_t panel = times(groups, kGroup);
  for (int block = 0; block < R; block += kRowBlock) {
    const int end = least(R, block + kRowBlock);
    for (int n = first; n < last; n += kWidth) {
      const Bytes here = w + n / kLanes * panel;
      for (int r = block; r < end;) {
        const int rows = rows_of_tile(end - r, Product::kRows);
        // While the first rows are multiplied the next panels come from memory.
        const Bytes soon = r == block && n + kWidth < last ? here + Product::kPanels * panel : nullptr;
        multiply<Product>(rows, {x + r * stride, stride, here, panel, groups, soon, sums, kWidth});
        finish(r, rows, n, sums);
        r += rows;
      }
    }
  }
}

// ------------------------------------------------------------------------------------------------- int8 with weights

// packed: factors[NP], bias[NP], panels [NP/16][K/4][16][4] of weight + kOffset; NP = N rounded up to 32, padding 0
struct Linear {
  const float *factors, *bias;
  Bytes panels;
};

INLINE Linear linear_of(const void* packed, int N) {
  const int NP = round_up(N, kColumns);
  const float* factors = static_cast<const float*>(packed);
  return {factors, factors + NP, reinterpret_cast<Bytes>(factors + times(2, NP))};
}
INLINE size_t weight_at(int n, int k, int K) {  // of W[n][k] in the panels
  return times(n / kLanes, K) * kLanes + times(k / 4, kGroup) + static_cast<size_t>(n % kLanes * 4 + k % 4);
}

size_t linear_bytes(int N, int K) { return times(round_up(N, kColumns), K + 8); }

void linear_pack(const int8_t* W, const float* factors, const float* bias, int N, int K, void* packed) {
  const Linear to = linear_of(packed, N);
  const int NP = round_up(N, kColumns);
  float *f = const_cast<float*>(to.factors), *b = const_cast<float*>(to.bias);
  uint8_t* panels = const_cast<uint8_t*>(to.panels);
  for (int n = 0; n < NP; ++n) {
    f[n] = n < N ? factors[n] : 0.0f;
    b[n] = n < N && bias ? bias[n] : 0.0f;
    for (int k = 0; k < K; ++k) {
      const int weight = n < N ? W[times(n, K) + static_cast<size_t>(k)] : 0;
      panels[weight_at(n, k, K)] = static_cast<uint8_t>(weight + Int8Product::kOffset);
    }
  }
}

void linear_row(const void* packed, int N, int K, int n, float* out) {
  const Linear from = linear_of(packed, N);
  for (int k = 0; k < K; ++k) {
    const int byte = from.panels[weight_at(n, k, K)];
    const int weight = Int8Product::kOffset ? byte - Int8Product::kOffset : static_cast<int8_t>(byte);
    out[k] = static_cast<float>(weight) * from.factors[n];
  }
}

// The sum of products without what the stored bytes are too large by
INLINE F product_of(const int32_t* sums, int32_t sum_of_row) {
  return to_float(add_int(load_int(sums), all_int(-Int8Product::kOffset * sum_of_row)));
}

INLINE void put(Then then, F y, float* to, int count) {
  if (then == Then::kGelu) y = gelu_of(y);
  if (count >= kLanes) {
    store(to, then == Then::kAdd ? add(y, load(to)) : y);
  } else {
    store_first(to, then == Then::kAdd ? add(y, load_first(to, count)) : y, count);
  }
}

void linear(const QuantizedRows& x, int R, const void* packed, int N, int K, int first, int last, Then then, float* out,
            int stride) {
  constexpr int kWidth = Int8Product::kPanels * kLanes;
  const Linear w = linear_of(packed, N);
  product<Int8Product>(
      R, reinterpret_cast<Bytes>(x.values), static_cast<size_t>(K), w.panels, K / 4, first, last,
      [&](int row, int rows, int column, const int32_t* sums) {
        for (int n = column; n < column + kWidth && n < last; n += kLanes) {
          const F factors = load(w.factors + n), bias = load(w.bias + n);
          for (int r = 0; r < rows; ++r) {
            const F y = product_of(sums + r * kWidth + (n - column), x.sums[row + r]);
            put(then, fma(y, mul(all(x.scales[row + r]), factors), bias), out + times(row + r, stride) + (n - first), last - n);
          }
        }
      });
}

// ------------------------------------------------------------------------------------------------------- vocabulary

// The sum of exponentials so far, as sum * exp(top).
struct LogSum {
  float top = -kInfinity, total = 0.0f;

  INLINE void take(const float* logits, int count, float highest_of_them) {
    if (!(highest_of_them > -kInfinity)) return;
    if (highest_of_them > top) {
      total = top > -kInfinity ? total * __builtin_expf(top - highest_of_them) : 0.0f;
      top = highest_of_them;
    }
    F sums = all(0.0f);
    for (int n = 0; n < count; n += kLanes) {
      const int here = count - n;
      const F e = exp_of(sub(here < kLanes ? load_first(logits + n, here) : load(logits + n), all(top)));
      sums = add(sums, here < kLanes ? keep_first(e, here, 0.0f) : e);
    }
    total += sum(sums);
  }
  INLINE float value() const { return total > 0.0f ? top + __builtin_logf(total) : -kInfinity; }
};

INLINE float highest_of(const float* x, int count) {
  F top = all(-kInfinity);
  for (int n = 0; n < count; n += kLanes) {
    const int here = count - n;
    top = max(here < kLanes ? keep_first(load_first(x + n, here), here, -kInfinity) : load(x + n), top);
  }
  return highest(top);
}

// The best logits so far, largest first; of equal ones that which came first.
struct Best {
  float* logits;
  int32_t* tokens;
  int room, count;

  INLINE float least_wanted() const { return count < room ? -kInfinity : logits[room - 1]; }
  INLINE void offer(float logit, int token) {
    int at = count < room ? count++ : room - 1;
    for (; at > 0 && logit > logits[at - 1]; --at) logits[at] = logits[at - 1], tokens[at] = tokens[at - 1];
    logits[at] = logit;
    tokens[at] = token;
  }
  INLINE void take(const float* block, int token, int width) {
    for (int n = 0; n < width; n += kLanes) {
      const int here = least(kLanes, width - n);
      const F x = here < kLanes ? load_first(block + n, here) : load(block + n);
      for (unsigned hits = greater(x, all(least_wanted())); hits; hits &= hits - 1) {
        const int i = __builtin_ctz(hits);
        if (i < here && block[n + i] > least_wanted()) offer(block[n + i], token + n + i);
      }
    }
  }
};

INLINE void suppress(const uint8_t* suppressed, int count, float* block, int R, int width) {
  for (int n = 0; n < count; ++n) {
    if (!suppressed[n]) continue;
    for (int r = 0; r < R; ++r) block[times(r, width) + static_cast<size_t>(n)] = -kInfinity;
  }
}

void project(const QuantizedRows& x, int R, const void* packed, int V, int K, const Projection& projection,
             Scratch& scratch) {
  constexpr int kBlock = 256;  // columns whose logits are held at once
  const int best = projection.best, text_end = least(projection.text_end, V);
  float* block = scratch.get<float>(0, times(R, kBlock));
  LogSum* sums = scratch.get<LogSum>(1, static_cast<size_t>(R));
  int32_t* counts = scratch.get<int32_t>(2, static_cast<size_t>(R));
  for (int r = 0; r < R; ++r) {
    sums[r] = LogSum(), counts[r] = 0;
    if (projection.text_log_sum) projection.text_log_sum[r] = -kInfinity;
  }
  for (int first = 0; first < V; first += kBlock) {
    const int last = least(V, first + kBlock), text = text_end - first;
    linear(x, R, packed, V, K, first, last, Then::kStore, block, kBlock);
    if (projection.suppressed) suppress(projection.suppressed + first, last - first, block, R, kBlock);
    for (int r = 0; r < R; ++r) {
      const float* logits = block + times(r, kBlock);
      int done = 0;
      float top = -kInfinity;
      if (projection.text_log_sum && text > 0 && text <= last - first) {  // the text's tokens end in this block
        top = highest_of(logits, text);
        sums[r].take(logits, text, top);
        projection.text_log_sum[r] = sums[r].value();
        done = text;
      }
      const float rest = highest_of(logits + done, last - first - done);
      sums[r].take(logits + done, last - first - done, rest);
      top = rest > top ? rest : top;
      if (!best) continue;
      Best held{projection.best_logits + times(r, best), projection.best_tokens + times(r, best), best, counts[r]};
      if (top > held.least_wanted()) held.take(logits, first, last - first);
      counts[r] = held.count;
    }
  }
  for (int r = 0; r < R; ++r) {
    projection.log_sum[r] = sums[r].value();
    for (int n = counts[r]; n < best; ++n) {
      projection.best_logits[times(r, best) + static_cast<size_t>(n)] = -kInfinity;
      projection.best_tokens[times(r, best) + static_cast<size_t>(n)] = -1;
    }
  }
}

// ---------------------------------------------------------------------------- numbers of FloatProduct, and their panels

using Number = FloatProduct::Number;                // float32 or bfloat16
constexpr int kTogether = 4 / static_cast<int>(sizeof(Number));  // numbers of a group: 1 or 2

INLINE void to_numbers(const float* x, size_t count, float* y) { std::memcpy(y, x, count * sizeof *y); }
INLINE void to_numbers(const float* x, size_t count, uint16_t* y) { to_bfloat16(x, count, y); }
INLINE void store_numbers(float* y, F v) { store(y, v); }
INLINE void store_numbers(uint16_t* y, F v) { store_bfloat16(y, v); }

// ------------------------------------------------------------------------------------------------------ convolution
//
// As a product: row t of the input is the frames step * t - 1 .. step * t + 1, which lie one after another.
// packed: bias[NP], panels [NP/16][groups][16][kTogether]; an input k is place * C + channel.

INLINE int convolution_groups(int C) { return (3 * C + kTogether - 1) / kTogether; }

size_t convolution_bytes(int N, int C) {
  const int NP = round_up(N, kColumns);
  return sizeof(float) * static_cast<size_t>(NP) + times(NP / kLanes, convolution_groups(C)) * kGroup;
}

void convolution_pack(const float* W, const float* bias, int N, int C, void* packed) {
  const int NP = round_up(N, kColumns), groups = convolution_groups(C);
  std::memset(packed, 0, convolution_bytes(N, C));
  float* to_bias = static_cast<float*>(packed);
  Number* panels = reinterpret_cast<Number*>(to_bias + NP);
  std::memcpy(to_bias, bias, sizeof(float) * static_cast<size_t>(N));
  for (int n = 0; n < N; ++n) {
    for (int k = 0; k < 3 * C; ++k) {
      const size_t at = (times(n / kLanes, groups) + static_cast<size_t>(k / kTogether)) * kLanes * kTogether;
      to_numbers(W + (times(n, C) + static_cast<size_t>(k % C)) * 3 + k / C, 1,
                 panels + at + n % kLanes * kTogether + k % kTogether);
    }
  }
}

void convolution(const float* x, int T, int C, int step, const void* packed, int N, const float* added, float* out,
                 Scratch& scratch) {
  constexpr int kWidth = FloatProduct::kPanels * kLanes;
  const int NP = round_up(N, kColumns), rows_of_output = (T + step - 1) / step;
  const float* bias = static_cast<const float*>(packed);
  const size_t frame = static_cast<size_t>(C);
  Number* frames = scratch.get<Number>(0, (static_cast<size_t>(T) + 3) * frame + kLanes);
  std::memset(frames, 0, frame * sizeof(Number));
  to_numbers(x, static_cast<size_t>(T) * frame, frames + frame);
  std::memset(frames + (static_cast<size_t>(T) + 1) * frame, 0, (2 * frame + kLanes) * sizeof(Number));
  product<FloatProduct>(
      rows_of_output, reinterpret_cast<Bytes>(frames), step * frame * sizeof(Number), reinterpret_cast<Bytes>(bias + NP),
      convolution_groups(C), 0, NP, [&](int row, int rows, int column, const float* sums) {
        for (int r = 0; r < rows; ++r) {
          for (int n = column; n < column + kWidth && n < N; n += kLanes) {
            const int here = least(N - n, kLanes);
            const size_t at = times(row + r, N) + static_cast<size_t>(n);
            F y = gelu_of(add(load(sums + r * kWidth + (n - column)), load(bias + n)));
            if (added) y = add(y, load_first(added + at, here));
            store_first(out + at, y, here);
          }
        }
      });
}

}  // namespace
}  // namespace awc

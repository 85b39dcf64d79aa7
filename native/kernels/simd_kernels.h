// Every kernel once, written in the sixteen lanes and the three products of a vec_*.h, which comes before. One .cpp for
// each set of instructions includes the two and makes a table of them; all names here are local to that file, and nothing
// of the standard library's templates is used: the linker could keep the copy of this file for the others (see README).
//
// Integers are the same on every set of instructions. Floats are too where the lanes alone are used (layer norm, GELU,
// exponentials); encoder attention and convolution differ by the width of FloatProduct's numbers, cross-attention by the
// bits of ProbabilityProduct's.
#pragma once

#include <cmath>
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
constexpr int kGroup = 64;        // bytes of a panel for one group of inputs: 16 columns, 4 bytes each
constexpr int kColumns = 32;      // outputs are padded to this: a tile of two panels
constexpr int kRowBlock = 96;     // rows that stay in the second-level cache while all weights pass by
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

// --------------------------------------------------------------------------------------------------------- products
//
// Weights lie in panels of 16 columns: [N/16][groups][16][4 bytes], a group being 4 int8, 2 bfloat16 or 1 float32 of the
// inputs of each column. Rows are plain: `groups` x 4 bytes, `stride` bytes apart.

// One tile: R rows x P panels. start(r, p) -> accumulator; finish(r, p, accumulator). `soon`: the
// panels that are wanted next, if they may not be at hand, or null.
template <class Product, int R, int P, class Start, class Finish>
INLINE void tile(Bytes x, size_t stride, Bytes w, size_t panel, int groups, Bytes soon, Start start, Finish finish) {
  typename Product::Accumulator acc[R][P];
  UNROLL for (int r = 0; r < R; ++r) {
    UNROLL for (int p = 0; p < P; ++p) acc[r][p] = start(r, p);
  }
  for (int g = 0; g < groups; ++g) {
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
    UNROLL for (int p = 0; p < P; ++p) finish(r, p, acc[r][p]);
  }
}

// body.template run<R>() for the R that is `rows`, 1 .. Most
template <int Most, class Body>
INLINE void with_rows(int rows, Body body) {
  if constexpr (Most > 1) {
    if (rows < Most) return with_rows<Most - 1>(rows, body);
  }
  body.template run<Most>();
}

// A tile for any number of rows up to Most; kept out of line, so that a caller is small and registers are its own.
template <class Product, int P, class Start, class Finish>
struct AnyTile {
  Bytes x;
  size_t stride;
  Bytes w;
  size_t panel;
  int groups;
  Bytes soon;
  Start start;
  Finish finish;

  template <int R>
  __attribute__((noinline)) void run() const {
    tile<Product, R, P>(x, stride, w, panel, groups, soon, start, finish);
  }
};

template <class Product, int P, int Most, class Start, class Finish>
INLINE void any_tile(int rows, Bytes x, size_t stride, Bytes w, size_t panel, int groups, Bytes soon, Start start,
                     Finish finish) {
  with_rows<Most>(rows, AnyTile<Product, P, Start, Finish>{x, stride, w, panel, groups, soon, start, finish});
}

// All rows x panels first .. last (in columns): start(row), finish(row, column, accumulator).
template <class Product, class Start, class Finish>
INLINE void product(int R, Bytes x, size_t stride, Bytes w, int groups, int first, int last, Start start, Finish finish) {
  constexpr int P = Product::kPanels, Most = Product::kRows;
  const size_t panel = times(groups, kGroup);
  for (int block = 0; block < R; block += kRowBlock) {
    const int end = least(R, block + kRowBlock);
    for (int n = first; n < last; n += P * kLanes) {
      const Bytes here = w + n / kLanes * panel;
      for (int r = block; r < end;) {
        const int tiles = (end - r + Most - 1) / Most, rows = (end - r + tiles - 1) / tiles;  // of nearly equal height
        // While the first rows are multiplied the next panels come from memory.
        const Bytes soon = r == block && n + P * kLanes < last ? here + P * panel : nullptr;
        any_tile<Product, P, Most>(
            rows, x + r * stride, stride, here, panel, groups, soon,
            [=](int i, int) { return start(r + i); },
            [=](int i, int p, typename Product::Accumulator acc) { finish(r + i, n + p * kLanes, acc); });
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

template <Then then>
void linear_then(const QuantizedRows& x, int R, const Linear& w, int K, int first, int last, float* out, int stride) {
  const float* scales = x.scales;
  const int32_t* sums = x.sums;
  product<Int8Product>(
      R, reinterpret_cast<Bytes>(x.values), static_cast<size_t>(K), w.panels, K / 4, first, last,
      [=](int r) { return all_int(-Int8Product::kOffset * sums[r]); },
      [=](int r, int n, I acc) {
        F y = fma(to_float(acc), mul(all(scales[r]), load(w.factors + n)), load(w.bias + n));
        float* to = out + times(r, stride) + (n - first);
        const int here = last - n;  // columns that are wanted
        if (then == Then::kGelu) y = gelu_of(y);
        if (here >= kLanes) {
          store(to, then == Then::kAdd ? add(y, load(to)) : y);
        } else if (here > 0) {
          store_first(to, then == Then::kAdd ? add(y, load_first(to, here)) : y, here);
        }
      });
}

void linear(const QuantizedRows& x, int R, const void* packed, int N, int K, int first, int last, Then then, float* out,
            int stride) {
  const Linear w = linear_of(packed, N);
  switch (then) {
    case Then::kStore: return linear_then<Then::kStore>(x, R, w, K, first, last, out, stride);
    case Then::kAdd: return linear_then<Then::kAdd>(x, R, w, K, first, last, out, stride);
    case Then::kGelu: return linear_then<Then::kGelu>(x, R, w, K, first, last, out, stride);
  }
}

// ------------------------------------------------------------------------------------------------------- vocabulary

// The sum of exponentials so far, as sum * exp(top).
struct LogSum {
  float top = -kInfinity, total = 0.0f;

  INLINE void take(const float* logits, int count, float highest_of_them) {
    if (!(highest_of_them > -kInfinity)) return;
    if (highest_of_them > top) {
      total = top > -kInfinity ? total * std::exp(top - highest_of_them) : 0.0f;
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
  INLINE float value() const { return total > 0.0f ? top + std::log(total) : -kInfinity; }
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
  const int NP = round_up(N, kColumns), rows = (T + step - 1) / step;
  const float* bias = static_cast<const float*>(packed);
  const size_t frame = static_cast<size_t>(C);
  Number* frames = scratch.get<Number>(0, (static_cast<size_t>(T) + 3) * frame + kLanes);
  std::memset(frames, 0, frame * sizeof(Number));
  to_numbers(x, static_cast<size_t>(T) * frame, frames + frame);
  std::memset(frames + (static_cast<size_t>(T) + 1) * frame, 0, (2 * frame + kLanes) * sizeof(Number));
  product<FloatProduct>(
      rows, reinterpret_cast<Bytes>(frames), step * frame * sizeof(Number), reinterpret_cast<Bytes>(bias + NP),
      convolution_groups(C), 0, NP, [=](int) { return all(0.0f); },
      [=](int t, int n, F acc) {
        const int here = least(N - n, kLanes);
        if (here <= 0) return;
        const size_t at = times(t, N) + static_cast<size_t>(n);
        F y = gelu_of(add(acc, load(bias + n)));
        if (added) y = add(y, load_first(added + at, here));
        store_first(out + at, y, here);
      });
}

// --------------------------------------------------------------------------------------------- attention of the encoder

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
  constexpr int P = FloatProduct::kPanels, Most = FloatProduct::kRows;
  constexpr size_t kPanel = static_cast<size_t>(kHeadWidth) * kLanes * sizeof(Number);
  float* scores = work.scores;
  for (int t = 0; t < TP; t += P * kLanes) {
    any_tile<FloatProduct, P, Most>(
        rows, reinterpret_cast<Bytes>(work.queries), kHeadWidth * sizeof(Number),
        reinterpret_cast<Bytes>(work.keys) + t / kLanes * kPanel, kPanel, kHeadWidth / kTogether,
        nullptr, [](int, int) { return all(0.0f); },
        [=](int r, int p, F acc) { store(scores + times(r, TP) + static_cast<size_t>(t + p * kLanes), acc); });
  }
  for (int r = 0; r < rows; ++r) {
    float* row = scores + times(r, TP);
    for (int t = T; t < TP; ++t) row[t] = kNone;
    F top = load(row), total = all(0.0f);
    for (int t = kLanes; t < TP; t += kLanes) top = max(load(row + t), top);
    const F highest_score = all(highest(top));
    for (int t = 0; t < TP; t += kLanes) {
      const F e = exp2_of(sub(load(row + t), highest_score));
      total = add(total, e);
      store_numbers(work.weights + times(r, TP) + t, e);
    }
    work.inverse[r] = 1.0f / sum(total);
  }
}

// out[rows] = weights x values / sums
INLINE void encoder_values(const HeadWork& work, int rows, int TP, float* out, size_t ld) {
  constexpr int P = FloatProduct::kPanels, Most = FloatProduct::kRows;
  const size_t panel = static_cast<size_t>(TP) * kLanes * sizeof(Number);
  const float* inverse = work.inverse;
  for (int d = 0; d < kHeadWidth; d += P * kLanes) {
    any_tile<FloatProduct, P, Most>(
        rows, reinterpret_cast<Bytes>(work.weights), static_cast<size_t>(TP) * sizeof(Number),
        reinterpret_cast<Bytes>(work.values) + d / kLanes * panel, panel, TP / kTogether,
        nullptr, [](int, int) { return all(0.0f); },
        [=](int r, int p, F acc) { store(out + r * ld + static_cast<size_t>(d + p * kLanes), mul(acc, all(inverse[r]))); });
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
      steps[d] = 1.0f / to.value_scales[d];
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
  constexpr int P = Int8Product::kPanels;
  constexpr size_t kPanel = static_cast<size_t>(kHeadWidth) * kLanes;
  const float *query_scales = q.scales, *key_scales = head.key_scales;
  const int32_t* sums = q.sums;
  for (int t = 0; t < TP; t += P * kLanes) {
    any_tile<Int8Product, P, kQueries>(
        rows, reinterpret_cast<Bytes>(q.values), kHeadWidth, head.keys + t / kLanes * kPanel, kPanel, kHeadWidth / 4,
        t + P * kLanes < TP ? head.keys + (t / kLanes + P) * kPanel : nullptr, [=](int r, int) { return all_int(-Int8Product::kOffset * sums[r]); },
        [=](int r, int p, I acc) {
          const int at = t + p * kLanes;
          const F scale = mul(load(key_scales + at), all(query_scales[r]));
          store(scores + times(r, TP) + static_cast<size_t>(at), mul(to_float(acc), scale));
        });
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
  constexpr int P = ProbabilityProduct::kPanels;
  const size_t panel = times(TP, kLanes);
  const float* value_scales = head.value_scales;
  for (int d = 0; d < kHeadWidth; d += P * kLanes) {
    const Bytes values = reinterpret_cast<Bytes>(head.values) + d / kLanes * panel;
    any_tile<ProbabilityProduct, P, kQueries>(
        rows, high, static_cast<size_t>(TP), values, panel, TP / 4, nullptr, [](int, int) { return all_int(0); },
        [=](int r, int p, I acc) {
          const F factor = all(static_cast<float>(1 << ProbabilityProduct::kBits));
          store(out + r * ld + static_cast<size_t>(d + p * kLanes), mul(to_float(acc), factor));
        });
    any_tile<ProbabilityProduct, P, kQueries>(
        rows, low, static_cast<size_t>(TP), values, panel, TP / 4, nullptr, [](int, int) { return all_int(0); },
        [=](int r, int p, I acc) {
          float* to = out + r * ld + static_cast<size_t>(d + p * kLanes);
          const F scale = mul(load(value_scales + d + p * kLanes), all(inverse[r]));
          store(to, mul(add(load(to), to_float(acc)), scale));
        });
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
      const int tiles = (R - first + kQueries - 1) / kQueries, rows = (R - first + tiles - 1) / tiles;
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

constexpr Kernels table(const char* name) {
  return {name,        layer_norm, quantize,          to_bfloat16,      linear_bytes, linear_pack,
          linear,      linear_row, project,           convolution_bytes, convolution_pack, convolution,
          encoder_attention, self_attention, cross_bytes, cross_pack, cross_attention, cross_scores};
}

}  // namespace
}  // namespace awc

// The arithmetic of the engine, as a table of functions: one table for each instruction set.
//
// Model and search call these functions through the table alone. `scalar.cpp` is the reference: plain loops that say
// what each function computes. The other tables compute the same, up to the order of floating-point sums and 16-bit
// storage where that is said below; integers are exact. Two laws hold for every table:
//
// - The result of a row does not depend on how many other rows are in the call ("alone = in a batch", bit for bit).
// - Packed weights, keys and values are opaque bytes: a table may lay them out as it likes, aligned to 64 bytes. Only
//   the table that packed them reads them.
//
// Names of sizes: R rows, K inputs of a product, N its outputs, T frames, H heads, V vocabulary; a head is 64 wide.
// K is always a multiple of 64 (Whisper's widths are), N, R, T are any numbers >= 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

// Files of kernels are compiled for other instructions than the rest. A function of this header that they use must be
// inlined or lie in another file: else the linker may keep the copy with those instructions for everybody.
#define AWC_INLINE inline __attribute__((always_inline))

namespace awc {

constexpr int kHeadWidth = 64;

// Memory that is aligned to 64 bytes and grows, never shrinks. What was in it is lost when it grows.
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  Buffer(Buffer&& other) noexcept : data_(other.data_), bytes_(other.bytes_) { other.data_ = nullptr, other.bytes_ = 0; }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_), std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Buffer() { release(); }

  // At least `count` values, not initialised. Throws std::bad_alloc.
  template <class T>
  AWC_INLINE T* get(size_t count) {
    return static_cast<T*>(reserve(count * sizeof(T)));
  }
  void release();
  const void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void* reserve(size_t bytes);  // in dispatch.cpp
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// Work space of the kernels, one for each call of the library; what a kernel keeps there lasts until it returns.
// A kernel that needs several arrays at once takes several places.
struct Scratch {
  static constexpr int kPlaces = 8;
  Buffer places[kPlaces];

  template <class T>
  AWC_INLINE T* get(int place, size_t count) {
    return places[place].get<T>(count);
  }
  size_t bytes() const {
    size_t sum = 0;
    for (const Buffer& one : places) sum += one.bytes();
    return sum;
  }
};

// Rows quantised to 8 bits, symmetric: x[r][k] ~ values[r * K + k] * scales[r], sums[r] = sum over k of values.
// A scale is (largest magnitude) / 127; of a row of zeros it is 1 / 127. What is not a number becomes 0.
struct QuantizedRows {
  int8_t* values;  // [R][K], each row aligned to 64 bytes
  float* scales;   // [R]
  int32_t* sums;   // [R], for tables whose product wants unsigned weights
};

// What becomes of a product y before it is stored.
enum class Then {
  kStore,     // out = y
  kAdd,       // out += y
  kGelu,      // out = gelu(y), the exact one: y / 2 * (1 + erf(y / sqrt 2))
};

// Which logits `project` looks at, and what it tells.
struct Projection {
  const uint8_t* suppressed;  // [V] 1: as if its logit were -infinity; or nullptr
  int text_end;               // text tokens are 0 .. text_end - 1
  int best;                   // how many of the largest logits to tell, 0..200
  // Results, of each row:
  float* log_sum;       // [R] log of the sum of exp(logit) over what is not suppressed
  float* text_log_sum;  // [R] the same over text tokens alone; or nullptr
  float* best_logits;   // [R][best] largest first; equal ones by token, smaller first; missing ones -infinity
  int32_t* best_tokens; // [R][best] -1 where missing
};

struct Kernels {
  const char* name;  // "scalar", "avx512_vnni", ...

  // ------------------------------------------------------------------------------------------- rows of float32 [R][D]
  // y = (x - mean) / sqrt(variance + 1e-5) * gamma + beta, over D values of each row. y may be x.
  void (*layer_norm)(const float* x, int R, int D, const float* gamma, const float* beta, float* y);
  // x[R][K], rows `stride` values apart, to 8 bits; rounding to the nearest, ties to even.
  void (*quantize)(const float* x, int R, int K, int stride, const QuantizedRows& out);
  // float32 to bfloat16 (nearest, ties to even), count values; and back
  void (*to_bfloat16)(const float* x, size_t count, uint16_t* y);

  // --------------------------------------------------------------------------------------- int8 product with weights
  // W[N][K] int8 with a factor and a bias for each output; bias may be nullptr: zeros.
  size_t (*linear_bytes)(int N, int K);
  void (*linear_pack)(const int8_t* W, const float* factors, const float* bias, int N, int K, void* packed);
  // For rows r and outputs n in [first, last): y = (sum over k of x[r][k] * W[n][k]) * scales[r] * factors[n] + bias[n],
  // then out[r * stride + n - first]. `first` is a multiple of 32.  R is 1..40 in decoder steps, 96 and more else.
  void (*linear)(const QuantizedRows& x, int R, const void* packed, int N, int K, int first, int last, Then then,
                 float* out, int stride);
  // One row of the weights as float32[K]: W[n] * factors[n].
  void (*linear_row)(const void* packed, int N, int K, int n, float* out);
  // The product with the vocabulary, looked at block by block, never stored whole. x[R][K], packed as a linear of V.
  void (*project)(const QuantizedRows& x, int R, const void* packed, int V, int K, const Projection& projection,
                  Scratch& scratch);

  // ------------------------------------------------------------------------------------------------------ convolution
  // W[N][C][3] float32 (out, in, place), bias[N].
  size_t (*convolution_bytes)(int N, int C);
  void (*convolution_pack)(const float* W, const float* bias, int N, int C, void* packed);
  // x[T][C] -> out[T / step][N]: gelu of the convolution of width 3 with one zero frame before and after, every
  // `step`-th (1 or 2) of its outputs, + add[T / step][N] unless that is nullptr. bfloat16 inputs are near enough.
  void (*convolution)(const float* x, int T, int C, int step, const void* packed, int N, const float* add, float* out,
                      Scratch& scratch);

  // ---------------------------------------------------------------------------------------- attention of the encoder
  // qkv[T][3 * D], D = 64 H: queries, keys, values of each frame -> out[T][D]. Every frame attends to every frame:
  // softmax(q k / 8) v. bfloat16 queries, keys, values and probabilities are near enough, int16 better.
  void (*encoder_attention)(const float* qkv, int T, int H, float* out, Scratch& scratch);

  // ----------------------------------------------------------------------------------- self-attention of the decoder
  // Of one row: q[D] attends to n earlier tokens and itself; keys[j] and values[j] point to D bfloat16 values.
  void (*self_attention)(const float* q, const uint16_t* const* keys, const uint16_t* const* values, int n, int H,
                         float* out, Scratch& scratch);

  // ---------------------------------------------------------------------------------- cross-attention of the decoder
  // Keys and values of one window in one layer, in 8 bits: keys with a scale for each frame and head, values with one
  // for each channel. kv[T][2 * D]: keys, then values of each frame.
  size_t (*cross_bytes)(int T, int H);
  void (*cross_pack)(const float* kv, int T, int H, void* packed, Scratch& scratch);
  // q[R][D], rows `D` apart -> out[R][D]: softmax(q k / 8) v. Queries are quantised to 8 bits for each head,
  // probabilities to 16 bits (8 would change texts).
  void (*cross_attention)(const void* packed, int T, int H, const float* q, int R, float* out, Scratch& scratch);
  // q k / 8 of one head with the first `frames` frames, before the softmax: scores[R][frames].
  void (*cross_scores)(const void* packed, int T, int H, int head, const float* q, int R, int frames, float* scores,
                       Scratch& scratch);
};

// The table for `name`; for nullptr or "" the best one that this build has and this processor runs. nullptr: none.
const Kernels* kernels_for(const char* name);

extern const Kernels kScalar;

}  // namespace awc

// A Whisper model packed for one instruction set, read-only once it is made, and the work space of its calls.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "../include/autorag_whisper_cpu.h"
#include "../kernels/kernels.h"
#include "weights.h"

namespace awc {

struct Norm {
  std::vector<float> gamma, beta;  // [D]
};

// An int8 product with its bias: y[N] = W x + bias.
struct Linear {
  int N = 0, K = 0;
  Buffer packed;
};

struct Convolution {
  int N = 0, C = 0;
  Buffer packed;
};

struct EncoderLayer {
  Norm attention_norm, ffn_norm;
  Linear qkv;     // [3 D, D]
  Linear output;  // [D, D]
  Linear ffn_in;  // [4 D, D]
  Linear ffn_out; // [D, 4 D]
};

struct DecoderLayer {
  Norm self_norm, cross_norm, ffn_norm;
  Linear qkv, self_output;             // [3 D, D], [D, D]
  Linear cross_query, cross_kv, cross_output;  // [D, D], [2 D, D], [D, D]
  Linear ffn_in, ffn_out;              // [4 D, D], [D, 4 D]
};

// Arrays that a call computes in; `Workspaces` lends them from call to call.
struct Workspace {
  Scratch scratch;  // of the kernels
  Buffer x, y, wide, ffn, logits, frames;
  Buffer values, scales, sums;  // QuantizedRows
  QuantizedRows quantized(int R, int K);
  size_t bytes() const;
};

struct Model {
  const Kernels* kernels = nullptr;
  awc_shape shape{};
  awc_tokens tokens{};

  Convolution convolution1, convolution2;
  std::vector<float> encoder_positions, decoder_positions;  // [1500, D], [448, D]
  std::vector<EncoderLayer> encoder;
  std::vector<DecoderLayer> decoder;
  Norm encoder_norm, decoder_norm;
  Linear vocabulary;  // [V, D]: embeddings and the last projection are the same

  size_t packed_bytes() const;

  // A workspace for one call; it comes back with the last reference to it.
  std::shared_ptr<Workspace> workspace();
  void trim();
  size_t kept_bytes() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> kept_;
};

// Throws Failure, std::bad_alloc.
std::unique_ptr<Model> load(const Weights& weights, const awc_tokens& tokens, const Kernels* kernels);

// Bytes of a packed model of this shape.
size_t packed_bytes(const awc_shape& shape, const Kernels& kernels);

// y = norm(x) of rows [R][D]
inline void normalize(const Kernels& kernels, const Norm& norm, const float* x, int R, int D, float* y) {
  kernels.layer_norm(x, R, D, norm.gamma.data(), norm.beta.data(), y);
}

// out (then) = W x + bias, for all outputs
inline void multiply(const Kernels& kernels, const Linear& linear, const QuantizedRows& x, int R, Then then, float* out) {
  kernels.linear(x, R, linear.packed.data(), linear.N, linear.K, 0, linear.N, then, out, linear.N);
}

}  // namespace awc

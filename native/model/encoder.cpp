#include "encoder.h"

#include <algorithm>

namespace awc {
namespace {

// Rows of frames that go through a feed-forward layer at a time: what lies between its two products stays in the cache.
constexpr int kBlock = 96;

// mel[C][F] -> rows[F][C]
void transpose(const float* mel, int C, int F, float* rows) {
  for (int c = 0; c < C; ++c) {
    for (int f = 0; f < F; ++f) rows[static_cast<size_t>(f) * C + c] = mel[static_cast<size_t>(c) * F + f];
  }
}

// The two convolutions: mel[C][F] -> x[F / 2][D], with the positions added
void convolve(const Model& model, Workspace& work, const float* mel, int F, float* x) {
  const Kernels& kernels = *model.kernels;
  const int C = model.shape.mels, D = model.shape.width;
  float* rows = work.frames.get<float>(static_cast<size_t>(F) * C);
  float* between = work.wide.get<float>(static_cast<size_t>(F) * D);
  transpose(mel, C, F, rows);
  kernels.convolution(rows, F, C, 1, model.convolution1.packed.data(), D, nullptr, between, work.scratch);
  kernels.convolution(between, F, D, 2, model.convolution2.packed.data(), D, model.encoder_positions.data(), x,
                      work.scratch);
}

// x[R][D] += attention, then += feed-forward, of one block of rows; attended[R][D] is what the heads found
void finish_block(const Model& model, const EncoderLayer& layer, Workspace& work, const float* attended, int R, float* x) {
  const Kernels& kernels = *model.kernels;
  const int D = model.shape.width, wide = layer.ffn_in.N;
  float* y = work.y.get<float>(static_cast<size_t>(R) * D);
  float* between = work.ffn.get<float>(static_cast<size_t>(R) * wide);
  const QuantizedRows rows = work.quantized(R, wide);
  kernels.quantize(attended, R, D, D, rows);
  multiply(kernels, layer.output, rows, R, Then::kAdd, x);
  normalize(kernels, layer.ffn_norm, x, R, D, y);
  kernels.quantize(y, R, D, D, rows);
  multiply(kernels, layer.ffn_in, rows, R, Then::kGelu, between);
  kernels.quantize(between, R, wide, wide, rows);
  multiply(kernels, layer.ffn_out, rows, R, Then::kAdd, x);
}

// x[T][D] through one layer, in place
void layer_forward(const Model& model, const EncoderLayer& layer, Workspace& work, int T, float* x) {
  const Kernels& kernels = *model.kernels;
  const int D = model.shape.width;
  const size_t width = static_cast<size_t>(D);
  float* qkv = work.wide.get<float>(static_cast<size_t>(T) * 3 * width);
  float* attended = work.x.get<float>(static_cast<size_t>(T) * width);
  for (int t = 0; t < T; t += kBlock) {
    const int R = std::min(kBlock, T - t);
    float* y = work.y.get<float>(static_cast<size_t>(R) * width);
    const QuantizedRows rows = work.quantized(R, D);
    normalize(kernels, layer.attention_norm, x + t * width, R, D, y);
    kernels.quantize(y, R, D, D, rows);
    multiply(kernels, layer.qkv, rows, R, Then::kStore, qkv + t * 3 * width);
  }
  kernels.encoder_attention(qkv, T, model.shape.heads, attended, work.scratch);
  for (int t = 0; t < T; t += kBlock) {
    finish_block(model, layer, work, attended + t * width, std::min(kBlock, T - t), x + t * width);
  }
}

}  // namespace

void encode(Model& model, const float* mel, int F, const Cancellation& cancellation, float* output) {
  const int T = F / 2;
  const std::shared_ptr<Workspace> work = model.workspace();
  cancellation.check();
  convolve(model, *work, mel, F, output);
  for (const EncoderLayer& layer : model.encoder) {
    cancellation.check();
    layer_forward(model, layer, *work, T, output);
  }
  normalize(*model.kernels, model.encoder_norm, output, T, model.shape.width, output);
}

size_t encode_bytes(const Model& model, int F) {
  const size_t D = static_cast<size_t>(model.shape.width), T = static_cast<size_t>(F) / 2;
  const size_t wide = sizeof(float) * std::max(2 * T * D, 3 * T * D), attended = sizeof(float) * T * D;
  const size_t frames = sizeof(float) * static_cast<size_t>(F) * static_cast<size_t>(model.shape.mels);
  const size_t block = static_cast<size_t>(kBlock) * D * (sizeof(float) + 4 * sizeof(float) + 4);
  // The kernels' scratch: 16-bit copies of a convolution's input or of one head's keys and values, scores of some rows.
  const size_t scratch = 2 * (2 * T + 64) * D + 2 * 2 * (T + 64) * kHeadWidth + 16 * (T + 64) * 6 + (1 << 16);
  return wide + attended + frames + block + scratch;
}

}  // namespace awc

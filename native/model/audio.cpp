#include "audio.h"

#include <algorithm>

namespace awc {
namespace {

constexpr int kBlock = 96;

size_t layer_stride(const Model& model, int T) {
  return (model.kernels->cross_bytes(T, model.shape.heads) + 63) / 64 * 64;
}

}  // namespace

std::unique_ptr<Audio> make_audio(Model& model, const float* encoded, int T, const Cancellation& cancellation) {
  const Kernels& kernels = *model.kernels;
  const int D = model.shape.width;
  const size_t width = static_cast<size_t>(D);
  auto audio = std::make_unique<Audio>();
  audio->T = T;
  audio->stride = layer_stride(model, T);
  char* packed = audio->packed.get<char>(audio->stride * model.decoder.size());
  const std::shared_ptr<Workspace> work = model.workspace();
  const QuantizedRows rows = work->quantized(T, D);
  kernels.quantize(encoded, T, D, D, rows);
  float* kv = work->wide.get<float>(static_cast<size_t>(T) * 2 * width);
  for (size_t n = 0; n < model.decoder.size(); ++n) {
    cancellation.check();
    for (int t = 0; t < T; t += kBlock) {
      const QuantizedRows block{rows.values + t * width, rows.scales + t, rows.sums + t};
      multiply(kernels, model.decoder[n].cross_kv, block, std::min(kBlock, T - t), Then::kStore, kv + t * 2 * width);
    }
    kernels.cross_pack(kv, T, model.shape.heads, packed + n * audio->stride, work->scratch);
  }
  return audio;
}

size_t audio_bytes(const Model& model, int T) {
  return sizeof(Audio) + 128 + layer_stride(model, T) * static_cast<size_t>(model.shape.decoder_layers);
}

}  // namespace awc

// What the decoder attends to: keys and values of one window for every layer, in 8 bits.
#pragma once

#include "failure.h"
#include "model.h"

namespace awc {

struct Audio {
  int T = 0;           // frames
  size_t stride = 0;   // bytes from layer to layer
  Buffer packed;       // [layers][stride]

  const void* layer(int n) const { return static_cast<const char*>(packed.data()) + static_cast<size_t>(n) * stride; }
};

// encoded[T][D]. Throws Failure, std::bad_alloc.
std::unique_ptr<Audio> make_audio(Model& model, const float* encoded, int T, const Cancellation& cancellation);

size_t audio_bytes(const Model& model, int T);

}  // namespace awc

// From the log-mel spectrum of one window to the encoder's output.
#pragma once

#include "failure.h"
#include "model.h"

namespace awc {

// mel[mels][F], F even -> output[F / 2][D]. Throws Failure, std::bad_alloc.
void encode(Model& model, const float* mel, int F, const Cancellation& cancellation, float* output);

// Most bytes that `encode` takes on top of its output.
size_t encode_bytes(const Model& model, int F);

}  // namespace awc

// Which letter is heard in each frame: the small classifier of `align/letters.py`, on the encoder's output.
#pragma once

#include <memory>
#include <vector>

#include "../kernels/kernels.h"
#include "model.h"
#include "weights.h"

namespace awc {

struct Letters {
  const Kernels* kernels = nullptr;
  int D = 0, H = 0, S = 0;  // values of a frame, hidden units, symbols
  std::vector<float> mean, factor;  // [D]; what a frame is multiplied by once the mean is off
  Linear places;                    // [3 H, K]: of the frame before, the frame, the one behind; K = D rounded up to 64
  std::vector<float> hidden_bias;   // [H]
  std::vector<float> output;        // [H][S rounded up to 16]
  std::vector<float> output_bias;   // [S rounded up to 16]
};

// Tensors as awc_letters_new has them. Throws Failure, std::bad_alloc.
std::unique_ptr<Letters> load_letters(const Weights& weights, const Kernels* kernels);

// encoded[T][D] -> log_probabilities[T][S]. A frame with a value that is not finite, and its neighbours, are not numbers.
// Throws std::bad_alloc.
void hear(const Letters& letters, const float* encoded, int T, float* log_probabilities);

}  // namespace awc

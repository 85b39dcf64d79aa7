// The named arrays that a model is made of, checked as they are read.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "../include/autorag_whisper_cpu.h"

namespace awc {

// W[N][K] in 8 bits: W[n][k] ~ values[n * K + k] * factors[n].
struct Quantized {
  std::vector<float> factors;     // [N]
  const int8_t* values = nullptr;  // in `own`, or in the caller's tensor
  std::vector<int8_t> own;
};

// Every method throws Failure(AWC_BAD_WEIGHTS) where an array is missing, has another shape or type, or is not finite.
class Weights {
 public:
  Weights(const awc_tensor* tensors, size_t count);

  // Sizes of an array of that rank.
  std::vector<int64_t> shape(const std::string& name, int rank) const;
  // How many layers the "encoder" or the "decoder" has: layer_0, layer_1, ... without a gap.
  int layers(const std::string& part) const;
  std::vector<float> floats(const std::string& name, const std::vector<int64_t>& shape) const;
  // int8 with its scales (NAME_scale: steps in 1), or floats, which are quantised: the largest of a row is 127 steps.
  Quantized quantized(const std::string& name, int64_t N, int64_t K) const;

 private:
  const awc_tensor& find(const std::string& name) const;
  std::unordered_map<std::string, const awc_tensor*> tensors_;
};

}  // namespace awc

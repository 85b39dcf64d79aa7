#include "weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "failure.h"

namespace awc {
namespace {

[[noreturn]] void bad(const std::string& name, const std::string& what) {
  throw Failure(AWC_BAD_WEIGHTS, "tensor " + name.substr(0, 100) + " " + what);
}

size_t size_of(int32_t type) {
  switch (type) {
    case AWC_FLOAT32: return 4;
    case AWC_FLOAT16: case AWC_BFLOAT16: return 2;
    case AWC_INT8: return 1;
    default: return 0;
  }
}

// IEEE half precision to float32.
float from_half(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16, rest = half & 0x7fffu;
  if (rest >= 0x7c00u) return std::nanf("");  // infinite or not a number: refused either way
  float value;
  if (rest < 0x0400u) {
    value = std::ldexp(static_cast<float>(rest), -24);
  } else {
    const uint32_t bits = (rest << 13) + ((127u - 15u) << 23);
    std::memcpy(&value, &bits, 4);
  }
  return sign ? -value : value;
}

float value_at(const awc_tensor& tensor, size_t n) {
  const char* bytes = static_cast<const char*>(tensor.data);
  if (tensor.type == AWC_FLOAT32) {
    float value;
    std::memcpy(&value, bytes + 4 * n, 4);
    return value;
  }
  uint16_t half;
  std::memcpy(&half, bytes + 2 * n, 2);
  if (tensor.type == AWC_FLOAT16) return from_half(half);
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

std::string written(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

// The number of values that the shape says; checked against the bytes that are there.
size_t count_of(const awc_tensor& tensor) {
  const std::string name = tensor.name ? tensor.name : "(unnamed)";
  if (!tensor.name || tensor.rank < 0 || tensor.rank > 4) bad(name, "has a rank other than 0 to 4");
  const size_t size = size_of(tensor.type);
  size_t count = 1;
  for (int n = 0; n < tensor.rank; ++n) {
    const int64_t side = tensor.shape[n];
    if (side < 0 || side > (int64_t{1} << 31)) bad(name, "has an impossible shape");
    count *= static_cast<size_t>(side);
    if (count > (size_t{1} << 32)) bad(name, "has an impossible shape");  // so that the next product fits too
  }
  if (size && (tensor.bytes != count * size || (count && !tensor.data))) bad(name, "has not the bytes that its shape needs");
  return count;
}

}  // namespace

Weights::Weights(const awc_tensor* tensors, size_t count) {
  if (!tensors || !count) throw Failure(AWC_BAD_WEIGHTS, "there are no tensors");
  for (size_t n = 0; n < count; ++n) {
    count_of(tensors[n]);
    tensors_[tensors[n].name] = &tensors[n];
  }
}

const awc_tensor& Weights::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) bad(name, "is missing");
  return *found->second;
}

std::vector<int64_t> Weights::shape(const std::string& name, int rank) const {
  const awc_tensor& tensor = find(name);
  if (tensor.rank != rank) bad(name, "has rank " + std::to_string(tensor.rank) + " and not " + std::to_string(rank));
  return {tensor.shape, tensor.shape + rank};
}

int Weights::layers(const std::string& part) const {
  std::set<std::string> found;  // "encoder/layer_0", "encoder/layer_1", ...
  const std::string start = part + "/layer_";
  for (const auto& [name, tensor] : tensors_) {
    if (name.compare(0, start.size(), start) == 0 && name != part + "/layer_norm/gamma" && name != part + "/layer_norm/beta") {
      found.insert(name.substr(0, name.find('/', start.size())));
    }
  }
  for (size_t n = 0; n < found.size(); ++n) {
    if (!found.count(start + std::to_string(n))) bad(start + std::to_string(n), "is missing");
  }
  return static_cast<int>(found.size());
}

std::vector<float> Weights::floats(const std::string& name, const std::vector<int64_t>& shape) const {
  const awc_tensor& tensor = find(name);
  const std::vector<int64_t> found(tensor.shape, tensor.shape + tensor.rank);
  if (found != shape) bad(name, "has the shape " + written(found) + " and not " + written(shape));
  if (tensor.type == AWC_INT8 || !size_of(tensor.type)) bad(name, "is not of floats");
  std::vector<float> values(count_of(tensor));
  for (size_t n = 0; n < values.size(); ++n) {
    values[n] = value_at(tensor, n);
    if (!std::isfinite(values[n])) bad(name, "has a value that is not finite");
  }
  return values;
}

Quantized Weights::quantized(const std::string& name, int64_t N, int64_t K) const {
  const awc_tensor& tensor = find(name);
  Quantized result;
  result.factors.resize(static_cast<size_t>(N));
  if (tensor.type == AWC_INT8) {
    const std::vector<int64_t> found(tensor.shape, tensor.shape + tensor.rank);
    if (found != std::vector<int64_t>{N, K}) bad(name, "has the shape " + written(found) + " and not " + written({N, K}));
    const std::vector<float> steps = floats(name + "_scale", {N});
    for (size_t n = 0; n < steps.size(); ++n) {
      if (!(steps[n] > 0) || !std::isfinite(1.0f / steps[n])) bad(name + "_scale", "has a scale that is none");
      result.factors[n] = 1.0f / steps[n];
    }
    result.values = static_cast<const int8_t*>(tensor.data);
    return result;
  }
  const std::vector<float> values = floats(name, {N, K});
  result.own.resize(values.size());
  for (int64_t n = 0; n < N; ++n) {
    const float* row = values.data() + n * K;
    float top = 0;
    for (int64_t k = 0; k < K; ++k) top = std::max(top, std::fabs(row[k]));
    const float steps = top > 0 && std::isfinite(127.0f / top) ? 127.0f / top : 127.0f;
    result.factors[static_cast<size_t>(n)] = 1.0f / steps;
    for (int64_t k = 0; k < K; ++k) {
      result.own[static_cast<size_t>(n * K + k)] = static_cast<int8_t>(std::clamp(std::nearbyint(row[k] * steps), -127.0f, 127.0f));
    }
  }
  result.values = result.own.data();
  return result;
}

}  // namespace awc

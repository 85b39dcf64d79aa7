#include "letters.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "failure.h"

namespace awc {
namespace {

constexpr int kBlock = 96;  // frames at a time: what lies between the products stays in the cache
constexpr int kLanes = 16;  // values that a compiler computes side by side
constexpr int64_t kMost = 8192;

int round_up(int n, int to) { return (n + to - 1) / to * to; }
size_t times(int a, int b) { return static_cast<size_t>(a) * static_cast<size_t>(b); }

// The three places of one hidden unit share a factor: 8 bits of the whole unit, as the classifiers' files have them.
Linear pack_places(const Weights& weights, const Kernels& kernels, int D, int H, int K) {
  const Quantized W = weights.quantized("hidden/weight", H, 3 * D);
  std::vector<int8_t> rows(times(3 * H, K));
  std::vector<float> factors(static_cast<size_t>(3 * H));
  for (int place = 0; place < 3; ++place) {
    for (int h = 0; h < H; ++h) {
      const int8_t* from = W.values + times(h, 3 * D) + times(place, D);
      std::copy(from, from + D, rows.data() + times(place * H + h, K));
      factors[static_cast<size_t>(place * H + h)] = W.factors[static_cast<size_t>(h)];
    }
  }
  Linear result{3 * H, K, {}};
  kernels.linear_pack(rows.data(), factors.data(), nullptr, result.N, K, result.packed.get<char>(kernels.linear_bytes(result.N, K)));
  return result;
}

// Frames as x[rows][K], normalised, what a row has more than a frame 0; and whether all values of each are finite.
void normalise(const Letters& letters, const float* encoded, int rows, float* x, bool* finite) {
  const int D = letters.D, K = letters.places.K;
  for (int r = 0; r < rows; ++r, encoded += D, x += K) {
    std::fill(x + D, x + K, 0.0f);
    float nothing[kLanes] = {};  // stays 0 but for what is not finite
    int d = 0;
    for (; d + kLanes <= D; d += kLanes) {
      for (int i = 0; i < kLanes; ++i) {
        const float value = (encoded[d + i] - letters.mean[static_cast<size_t>(d + i)]) * letters.factor[static_cast<size_t>(d + i)];
        x[d + i] = value;
        nothing[i] += value * 0.0f;
      }
    }
    for (; d < D; ++d) nothing[0] += (x[d] = (encoded[d] - letters.mean[static_cast<size_t>(d)]) * letters.factor[static_cast<size_t>(d)]) * 0.0f;
    finite[r] = std::all_of(nothing, nothing + kLanes, [](float one) { return one == 0.0f; });
  }
}

// y[rows][3 H]: each frame against the weights of its three places, from 16 bits of the frame: what 8 bits leave of it is
// multiplied in 8 bits again.
void multiply_twice(const Letters& letters, float* x, int rows, const QuantizedRows& parts, float* y) {
  const int K = letters.places.K;
  for (const Then then : {Then::kStore, Then::kAdd}) {
    letters.kernels->quantize(x, rows, K, K, parts);
    multiply(*letters.kernels, letters.places, parts, rows, then, y);
    if (then == Then::kAdd) return;
    for (int r = 0; r < rows; ++r) {
      float* left = x + times(r, K);
      const int8_t* taken = parts.values + times(r, K);
      const float scale = parts.scales[r];
      for (int k = 0; k < K; k += kLanes) {
        for (int i = 0; i < kLanes; ++i) left[k + i] -= static_cast<float>(taken[k + i]) * scale;
      }
    }
  }
}

// scores[S rounded up] of one frame, from what its three places say; active[H] is room for its hidden units.
void output_of(const Letters& letters, const float* before, const float* here, const float* behind, float* active,
               float* scores) {
  const int H = letters.H, wide = round_up(letters.S, kLanes);
  const float* bias = letters.hidden_bias.data();
  for (int h = 0; h < H; ++h) active[h] = std::max(here[H + h] + bias[h] + before[h] + behind[2 * H + h], 0.0f);
  for (int s = 0; s < wide; s += kLanes) {
    const float* weights = letters.output.data() + s;
    float sums[kLanes];
    std::copy_n(letters.output_bias.data() + s, kLanes, sums);
    for (int h = 0; h < H; ++h, weights += wide) {
      for (int i = 0; i < kLanes; ++i) sums[i] += active[h] * weights[i];
    }
    std::copy_n(sums, kLanes, scores + s);
  }
}

// scores[S] -> their logarithms as probabilities
void normalise_scores(const float* scores, int S, float* to) {
  const float top = *std::max_element(scores, scores + S);
  float sum = 0;
  for (int s = 0; s < S; ++s) sum += std::exp(scores[s] - top);
  const float off = top + std::log(sum);
  for (int s = 0; s < S; ++s) to[s] = scores[s] - off;
}

}  // namespace

std::unique_ptr<Letters> load_letters(const Weights& weights, const Kernels* kernels) {
  const std::vector<int64_t> width = weights.shape("mean", 1), output = weights.shape("output/weight", 2);
  for (const int64_t size : {width[0], output[0], output[1]}) {
    if (size < 1 || size > kMost) throw Failure(AWC_BAD_WEIGHTS, "a classifier of letters has sizes of 1 to 8192");
  }
  auto letters = std::make_unique<Letters>();
  letters->kernels = kernels;
  letters->D = static_cast<int>(width[0]), letters->S = static_cast<int>(output[0]), letters->H = static_cast<int>(output[1]);
  const int S = letters->S, H = letters->H, wide = round_up(S, kLanes);
  letters->mean = weights.floats("mean", {width[0]});
  letters->factor = weights.floats("spread", {width[0]});
  for (float& one : letters->factor) {
    if (!(one > 0.0f)) throw Failure(AWC_BAD_WEIGHTS, "tensor spread has values that are not above 0");
    one = 1.0f / one;
  }
  letters->hidden_bias = weights.floats("hidden/bias", {H});
  letters->places = pack_places(weights, *kernels, letters->D, H, round_up(letters->D, kHeadWidth));
  const std::vector<float> W = weights.floats("output/weight", {S, H}), bias = weights.floats("output/bias", {S});
  letters->output.assign(times(H, wide), 0.0f);
  for (int s = 0; s < S; ++s) {
    for (int h = 0; h < H; ++h) letters->output[times(h, wide) + static_cast<size_t>(s)] = W[times(s, H) + static_cast<size_t>(h)];
  }
  letters->output_bias = bias;
  letters->output_bias.resize(static_cast<size_t>(wide), 0.0f);
  return letters;
}

void hear(const Letters& letters, const float* encoded, int T, float* log_probabilities) {
  const int D = letters.D, H = letters.H, S = letters.S, K = letters.places.K, most = std::min(T, kBlock + 2);
  Buffer x_, y_, values, scales, sums, scores_, finite_;
  float *x = x_.get<float>(times(most, K)), *y = y_.get<float>(times(most, 3 * H));
  float* scores = scores_.get<float>(static_cast<size_t>(H + round_up(S, kLanes)));
  bool* finite = finite_.get<bool>(static_cast<size_t>(most));
  const QuantizedRows parts{values.get<int8_t>(times(most, K)), scales.get<float>(static_cast<size_t>(most)),
                            sums.get<int32_t>(static_cast<size_t>(most))};
  for (int first = 0; first < T; first += kBlock) {
    const int last = std::min(T, first + kBlock), low = std::max(0, first - 1), high = std::min(T, last + 1);
    normalise(letters, encoded + times(low, D), high - low, x, finite);
    multiply_twice(letters, x, high - low, parts, y);
    for (int t = first; t < last; ++t) {
      const int before = std::max(t - 1, 0) - low, here = t - low, behind = std::min(t + 1, T - 1) - low;
      float* to = log_probabilities + times(t, S);
      if (finite[before] && finite[here] && finite[behind]) {
        output_of(letters, y + times(before, 3 * H), y + times(here, 3 * H), y + times(behind, 3 * H), scores + round_up(S, kLanes), scores);
        normalise_scores(scores, S, to);
      } else {
        std::fill(to, to + S, std::numeric_limits<float>::quiet_NaN());
      }
    }
  }
}

}  // namespace awc

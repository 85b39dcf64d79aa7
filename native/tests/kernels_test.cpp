// Every table that runs here against the reference, on random numbers of many shapes; then all of them from four threads
// on the same packed weights. It needs nothing but the kernels, so it also runs under an emulator and with sanitizers.
// Prints a line for each table; the exit status is 1 where one is wrong. tests/native/ asks more, with numpy beside it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels.h"

namespace {

using awc::kHeadWidth;
using awc::Kernels;
using awc::Then;

constexpr const char* kNames[] = {"scalar", "avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "neon_dotprod"};

std::vector<float> normal(std::mt19937& random, size_t count, float scale = 1.0f) {
  std::normal_distribution<float> distribution(0.0f, scale);
  std::vector<float> x(count);
  for (float& value : x) value = distribution(random);
  return x;
}

std::vector<int8_t> weights(std::mt19937& random, size_t count) {
  std::vector<int8_t> w(count);
  for (int8_t& value : w) value = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
  return w;
}

// Differences that were too large.
// NaN where one of the differences is.
float largest_difference(const std::vector<float>& found, const std::vector<float>& wanted) {
  float largest = 0.0f;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const float difference = found[i] == wanted[i] ? 0.0f : std::fabs(found[i] - wanted[i]);
    if (std::isnan(difference)) return difference;
    largest = std::max(largest, difference);
  }
  return largest;
}

struct Findings {
  std::string table;
  int count = 0;

  // All operands are finite here: what is not a number on either side is a fault.
  void compare(const char* what, const std::vector<float>& found, const std::vector<float>& wanted, float most) {
    const float largest = largest_difference(found, wanted);
    if (largest <= most) return;
    std::printf("%s: %s differs by %g, more than %g\n", table.c_str(), what, largest, most);
    ++count;
  }
};

struct Quantized {
  awc::Buffer values, scales, sums;
  awc::QuantizedRows rows;

  Quantized(const Kernels& k, const std::vector<float>& x, int R, int K) {
    const size_t count = static_cast<size_t>(R);
    rows = {values.get<int8_t>(x.size()), scales.get<float>(count), sums.get<int32_t>(count)};
    k.quantize(x.data(), R, K, K, rows);
  }
};

struct Sizes {
  int R, K, N, T, H;
};

// A layer of random weights, as one table packs it.
struct Layer {
  awc::Buffer memory;
  void* packed;

  Layer(const Kernels& k, const std::vector<int8_t>& w, const std::vector<float>& bias, int N, int K) {
    packed = memory.get<char>(k.linear_bytes(N, K));
    k.linear_pack(w.data(), std::vector<float>(bias.size(), 0.01f).data(), bias.data(), N, K, packed);
  }
};

std::vector<float> linear_results(const Kernels& k, const Sizes& s, unsigned seed) {
  std::mt19937 random(seed);
  const std::vector<int8_t> w = weights(random, static_cast<size_t>(s.N) * s.K);
  const Layer layer(k, w, normal(random, static_cast<size_t>(s.N)), s.N, s.K);
  const Quantized x(k, normal(random, static_cast<size_t>(s.R) * s.K), s.R, s.K);
  std::vector<float> all;
  for (const Then then : {Then::kStore, Then::kAdd, Then::kGelu}) {
    std::vector<float> out(static_cast<size_t>(s.R) * s.N, 1.0f);
    k.linear(x.rows, s.R, layer.packed, s.N, s.K, 0, s.N, then, out.data(), s.N);
    all.insert(all.end(), out.begin(), out.end());
  }
  std::vector<float> row(static_cast<size_t>(s.K));
  k.linear_row(layer.packed, s.N, s.K, s.N - 1, row.data());
  all.insert(all.end(), row.begin(), row.end());
  return all;
}

std::vector<float> projected(const Kernels& k, const Sizes& s, unsigned seed) {
  constexpr int kBest = 10;
  std::mt19937 random(seed);
  const std::vector<int8_t> w = weights(random, static_cast<size_t>(s.N) * s.K);
  const Layer layer(k, w, std::vector<float>(static_cast<size_t>(s.N)), s.N, s.K);
  const Quantized x(k, normal(random, static_cast<size_t>(s.R) * s.K), s.R, s.K);
  std::vector<uint8_t> suppressed(static_cast<size_t>(s.N));
  for (uint8_t& value : suppressed) value = random() % 5 == 0;
  std::vector<float> all(static_cast<size_t>(s.R) * (2 + kBest));
  std::vector<int32_t> tokens(static_cast<size_t>(s.R) * kBest);
  float* at = all.data();
  const awc::Projection told{suppressed.data(), (s.N + 1) / 2, kBest, at, at + s.R, at + 2 * s.R, tokens.data()};
  awc::Scratch scratch;
  k.project(x.rows, s.R, layer.packed, s.N, s.K, told, scratch);
  all.insert(all.end(), tokens.begin(), tokens.end());
  return all;
}

std::vector<float> convolved(const Kernels& k, const Sizes& s, unsigned seed) {
  std::mt19937 random(seed);
  const int channels = s.K / 4;
  const std::vector<float> w = normal(random, static_cast<size_t>(s.N) * channels * 3, 0.1f);
  const std::vector<float> bias = normal(random, static_cast<size_t>(s.N));
  const std::vector<float> x = normal(random, static_cast<size_t>(s.T) * channels);
  awc::Buffer memory;
  awc::Scratch scratch;
  void* packed = memory.get<char>(k.convolution_bytes(s.N, channels));
  k.convolution_pack(w.data(), bias.data(), s.N, channels, packed);
  std::vector<float> out(static_cast<size_t>((s.T + 1) / 2) * s.N);
  k.convolution(x.data(), s.T, channels, 2, packed, s.N, nullptr, out.data(), scratch);
  return out;
}

std::vector<float> attended(const Kernels& k, const Sizes& s, unsigned seed) {
  std::mt19937 random(seed);
  const size_t D = static_cast<size_t>(s.H) * kHeadWidth, T = static_cast<size_t>(s.T);
  const std::vector<float> qkv = normal(random, T * 3 * D);
  std::vector<float> out(T * D);
  awc::Scratch scratch;
  k.encoder_attention(qkv.data(), s.T, s.H, out.data(), scratch);
  return out;
}

std::vector<float> decoded(const Kernels& k, const Sizes& s, unsigned seed) {
  std::mt19937 random(seed);
  const size_t D = static_cast<size_t>(s.H) * kHeadWidth, T = static_cast<size_t>(s.T), R = static_cast<size_t>(s.R);
  const std::vector<float> kv = normal(random, T * 2 * D), q = normal(random, R * D);
  awc::Buffer memory;
  awc::Scratch scratch;
  void* packed = memory.get<char>(k.cross_bytes(s.T, s.H));
  k.cross_pack(kv.data(), s.T, s.H, packed, scratch);
  std::vector<float> out(R * D), scores(R * T), self(D);
  k.cross_attention(packed, s.T, s.H, q.data(), s.R, out.data(), scratch);
  k.cross_scores(packed, s.T, s.H, s.H - 1, q.data(), s.R, s.T, scores.data(), scratch);
  std::vector<uint16_t> cache(kv.size());
  k.to_bfloat16(kv.data(), kv.size(), cache.data());
  std::vector<const uint16_t*> keys, values;
  for (size_t t = 0; t < T; ++t) keys.push_back(&cache[t * 2 * D]), values.push_back(&cache[t * 2 * D + D]);
  k.self_attention(q.data(), keys.data(), values.data(), s.T, s.H, self.data(), scratch);
  out.insert(out.end(), scores.begin(), scores.end());
  out.insert(out.end(), self.begin(), self.end());
  return out;
}

int compare(const Kernels& k, const Sizes& s, unsigned seed) {
  Findings findings{k.name};
  const bool short_floats = std::strcmp(k.name, "avx512_bf16") == 0;
  const bool exact = std::strcmp(k.name, "neon_dotprod") == 0 || std::strcmp(k.name, "scalar") == 0;  // float32
  findings.compare("linear", linear_results(k, s, seed), linear_results(awc::kScalar, s, seed), 1e-4f);
  findings.compare("project", projected(k, s, seed), projected(awc::kScalar, s, seed), 1e-4f);
  findings.compare("convolution", convolved(k, s, seed), convolved(awc::kScalar, s, seed), short_floats ? 0.05f : 1e-4f);
  findings.compare("encoder_attention", attended(k, s, seed), attended(awc::kScalar, s, seed), short_floats ? 0.03f : exact ? 1e-4f : 2e-3f);
  findings.compare("cross- and self-attention", decoded(k, s, seed), decoded(awc::kScalar, s, seed), 2e-3f);
  std::vector<float> x, found, wanted;
  std::mt19937 random(seed);
  x = normal(random, static_cast<size_t>(s.R) * s.K, 3.0f);
  found = wanted = x;
  k.layer_norm(x.data(), s.R, s.K, x.data(), x.data(), found.data());
  awc::kScalar.layer_norm(x.data(), s.R, s.K, x.data(), x.data(), wanted.data());
  findings.compare("layer_norm", found, wanted, 1e-3f);
  return findings.count;
}

// Four threads compute the same on weights that one of them packed: their results are the same bits.
int compare_threads(const Kernels& k) {
  const Sizes s{5, 128, 300, 70, 2};
  std::vector<std::vector<float>> found(4);
  std::mt19937 random(1);
  const std::vector<int8_t> w = weights(random, static_cast<size_t>(s.N) * s.K);
  const Layer layer(k, w, normal(random, static_cast<size_t>(s.N)), s.N, s.K);
  const Quantized x(k, normal(random, static_cast<size_t>(s.R) * s.K), s.R, s.K);
  std::vector<std::thread> threads;
  for (std::vector<float>& mine : found) {
    threads.emplace_back([&] {
      for (int round = 0; round < 3; ++round) {
        mine.assign(static_cast<size_t>(s.R) * s.N, 0.0f);
        k.linear(x.rows, s.R, layer.packed, s.N, s.K, 0, s.N, Then::kStore, mine.data(), s.N);
        for (const auto& work : {projected, convolved, attended, decoded}) {
          const std::vector<float> more = work(k, s, 7);
          mine.insert(mine.end(), more.begin(), more.end());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const int wrong = static_cast<int>(std::count_if(found.begin(), found.end(), [&](const auto& one) { return one != found[0]; }));
  if (wrong) std::printf("%s: %d threads of 4 computed something else\n", k.name, wrong);
  return wrong;
}

}  // namespace

int main() {
  constexpr Sizes kSizes[] = {{1, 64, 1, 1, 1},   {2, 64, 33, 3, 1},    {3, 128, 31, 16, 2}, {4, 64, 97, 33, 1},
                              {5, 192, 64, 47, 3}, {6, 128, 160, 64, 1}, {7, 64, 50, 65, 2},  {11, 320, 513, 90, 1},
                              {12, 64, 32, 100, 1}, {13, 64, 257, 15, 1}, {97, 64, 65, 31, 1}, {40, 128, 300, 200, 1}};
  int wrong = std::isnan(largest_difference({NAN, 0.0f}, {0.0f, 0.0f})) ? 0 : 1, tables = 0;  // the comparison itself
  for (const char* name : kNames) {
    const Kernels* k = awc::kernels_for(name);
    if (!k) continue;
    unsigned seed = 1;
    for (const Sizes& s : kSizes) wrong += compare(*k, s, seed++);
    wrong += compare_threads(*k);
    std::printf("%s: compared\n", name), ++tables;
  }
  std::printf("%d tables, %d differences; the best one here: %s\n", tables, wrong, awc::kernels_for(nullptr)->name);
  return wrong || tables == 0;
}

// Speed of every kernel of one table, at the shapes of Whisper's sizes; benchmarks/native_kernels.py builds and runs it.
//   kernels_bench TABLE WIDTH
// A line for each: name, shape, milliseconds of the median run (time of this thread), multiplications or 0.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "kernels.h"

namespace {

using awc::Buffer;
using awc::Kernels;
using awc::Then;

double seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

std::mt19937 generator(1);

std::vector<float> normal(size_t count) {
  std::normal_distribution<float> distribution;
  std::vector<float> x(count);
  for (float& value : x) value = distribution(generator);
  return x;
}

// The median of samples of at least 50 microseconds each
void report(const char* name, const std::string& shape, double products, const std::function<void()>& run) {
  run();
  double before = seconds();
  run();
  const int repeats = std::clamp(static_cast<int>(5e-5 / std::max(seconds() - before, 1e-7)), 1, 200);
  std::vector<double> samples;
  const double end = seconds() + 0.15;
  do {
    before = seconds();
    for (int i = 0; i < repeats; ++i) run();
    samples.push_back((seconds() - before) / repeats);
  } while (samples.size() < 5 || seconds() < end);
  std::nth_element(samples.begin(), samples.begin() + samples.size() / 2, samples.end());
  std::printf("%s\t%s\t%.6f\t%.0f\n", name, shape.c_str(), samples[samples.size() / 2] * 1e3, products);
}

// A linear layer N x K with rows for it
struct Layer {
  int N, K;
  Buffer memory, values, scales, sums, out;
  void* packed;
  awc::QuantizedRows x;

  Layer(const Kernels& k, int n, int inputs, int most_rows) : N(n), K(inputs) {
    std::vector<int8_t> w(static_cast<size_t>(N) * K);
    for (int8_t& value : w) value = static_cast<int8_t>(static_cast<int>(generator() % 255) - 127);
    packed = memory.get<char>(k.linear_bytes(N, K));
    k.linear_pack(w.data(), std::vector<float>(static_cast<size_t>(N), 1e-3f).data(), nullptr, N, K, packed);
    const size_t rows = static_cast<size_t>(most_rows);
    x = {values.get<int8_t>(rows * static_cast<size_t>(K)), scales.get<float>(rows), sums.get<int32_t>(rows)};
    k.quantize(normal(rows * static_cast<size_t>(K)).data(), most_rows, K, K, x);
    out.get<float>(rows * static_cast<size_t>(N));
  }
  void measure(const Kernels& k, const char* name, int R, Then then) {
    float* to = out.get<float>(0);
    report(name, std::to_string(R) + " x " + std::to_string(K) + " -> " + std::to_string(N), 1.0 * R * N * K,
           [&] { k.linear(x, R, packed, N, K, 0, N, then, to, N); });
  }
};

void measure_linear(const Kernels& k, int D) {
  Layer peak(k, 64, 512, 12);  // lies in the first-level cache
  peak.measure(k, "peak int8", 12, Then::kStore);
  const struct { const char* name; int N, K; Then then; } layers[] = {
      {"qkv", 3 * D, D, Then::kStore}, {"output", D, D, Then::kAdd}, {"ff 1", 4 * D, D, Then::kGelu}, {"ff 2", D, 4 * D, Then::kAdd}};
  for (const auto& l : layers) {
    Layer layer(k, l.N, l.K, 1500);
    for (const int R : {1, 5, 8, 40, 1500}) layer.measure(k, l.name, R, l.then);
  }
}

void measure_vocabulary(const Kernels& k, int D) {
  constexpr int V = 51865, kBest = 10;
  Layer layer(k, V, D, 40);
  awc::Scratch scratch;
  std::vector<float> told(40 * (2 + kBest));
  std::vector<int32_t> tokens(40 * kBest);
  const std::vector<uint8_t> suppressed(V);
  const awc::Projection projection{suppressed.data(), 50257, kBest, told.data(), told.data() + 40, told.data() + 80, tokens.data()};
  for (const int R : {1, 5, 8, 40}) {
    report("vocabulary", std::to_string(R) + " x " + std::to_string(D) + " -> 51865", 1.0 * R * V * D,
           [&] { k.project(layer.x, R, layer.packed, V, D, projection, scratch); });
  }
}

void measure_encoder(const Kernels& k, int D) {
  constexpr int T = 1500, kMels = 80;
  const size_t d = static_cast<size_t>(D);
  awc::Scratch scratch;
  const std::vector<float> qkv = normal(3 * d * T), x = normal(3000 * d), w = normal(3 * d * d), bias = normal(d);
  std::vector<float> out(3000 * d);
  report("encoder attention", "1500 frames", 2.0 * T * T * D, [&] { k.encoder_attention(qkv.data(), T, D / 64, out.data(), scratch); });
  const struct { const char* name; int frames, channels, step; } layers[] = {{"convolution 1", 3000, kMels, 1}, {"convolution 2", 3000, D, 2}};
  for (const auto& l : layers) {
    Buffer memory;
    void* packed = memory.get<char>(k.convolution_bytes(D, l.channels));
    k.convolution_pack(w.data(), bias.data(), D, l.channels, packed);
    report(l.name, std::to_string(l.frames) + " frames", 3.0 * l.frames / l.step * D * l.channels,
           [&] { k.convolution(x.data(), l.frames, l.channels, l.step, packed, D, nullptr, out.data(), scratch); });
  }
  Buffer values, scales, sums;
  const awc::QuantizedRows rows{values.get<int8_t>(d * T), scales.get<float>(T), sums.get<int32_t>(T)};
  report("layer norm", "1500 rows", 0, [&] { k.layer_norm(x.data(), T, D, bias.data(), bias.data(), out.data()); });
  report("quantize", "1500 rows", 0, [&] { k.quantize(x.data(), T, D, D, rows); });
}

void measure_decoder(const Kernels& k, int D) {
  constexpr int T = 1500;
  const size_t d = static_cast<size_t>(D);
  awc::Scratch scratch;
  const std::vector<float> kv = normal(2 * d * T), q = normal(40 * d);
  std::vector<float> out(40 * d);
  Buffer memory;
  void* packed = memory.get<char>(k.cross_bytes(T, D / 64));
  report("cross pack", "1500 frames", 0, [&] { k.cross_pack(kv.data(), T, D / 64, packed, scratch); });
  for (const int R : {1, 5, 8}) {
    report("cross attention", std::to_string(R) + " rows", 2.0 * R * T * D,
           [&] { k.cross_attention(packed, T, D / 64, q.data(), R, out.data(), scratch); });
  }
  std::vector<uint16_t> cache(448 * d);
  k.to_bfloat16(kv.data(), cache.size(), cache.data());
  std::vector<const uint16_t*> slots;
  for (size_t n = 0; n < 448; ++n) slots.push_back(&cache[n * d]);
  for (const int n : {10, 50, 448}) {
    report("self attention", std::to_string(n) + " tokens", 2.0 * n * D,
           [&] { k.self_attention(q.data(), slots.data(), slots.data(), n, D / 64, out.data(), scratch); });
  }
}

}  // namespace

int main(int count, char** arguments) {
  const Kernels* k = awc::kernels_for(count > 1 ? arguments[1] : nullptr);
  const int D = count > 2 ? std::atoi(arguments[2]) : 512;
  if (!k || D < 64 || D % 64) {
    std::fprintf(stderr, "usage: kernels_bench TABLE WIDTH; this processor does not run every table\n");
    return 1;
  }
  std::printf("table\t%s\t%d\t0\n", k->name, D);
  measure_linear(*k, D);
  measure_vocabulary(*k, D);
  measure_encoder(*k, D);
  measure_decoder(*k, D);
  return 0;
}

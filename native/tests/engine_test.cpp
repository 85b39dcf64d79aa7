// The engine through its C face alone, with random weights of a small shape: what it needs no files for. It is what runs
// with sanitizers: four threads on one model, every call cancelled at its start, and weights that lie.
//   engine_test [SEED [ROUNDS]]    ROUNDS: damaged weights that are tried, 300
// Exit status 1 and a line for each thing that is wrong.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "autorag_whisper_cpu.h"

namespace {

std::atomic<int> wrong{0};

void expect(bool holds, const char* what) {
  if (holds) return;
  std::printf("not so: %s\n", what);
  ++wrong;
}

// Tensors of a Whisper model as CTranslate2's converter names them.
struct Network {
  static constexpr int kWidth = 128, kMels = 80, kVocabulary = 300, kFrames = 1500, kContext = 448, kLayers = 2;
  struct Array {
    std::string name;
    std::vector<int64_t> shape;
    std::vector<float> values;
  };
  std::vector<Array> arrays;

  explicit Network(unsigned seed) : random_(seed) {
    const int64_t D = kWidth;
    add("encoder/conv1/weight", {D, kMels, 3});
    add("encoder/conv1/bias", {D});
    add("encoder/conv2/weight", {D, D, 3});
    add("encoder/conv2/bias", {D});
    add("encoder/position_encodings/encodings", {kFrames, D});
    add("decoder/position_encodings/encodings", {kContext, D});
    add("decoder/embeddings/weight", {kVocabulary, D});
    for (const std::string part : {"encoder", "decoder"}) {
      norm(part + "/layer_norm");
      for (int n = 0; n < kLayers; ++n) layer(part, part + "/layer_" + std::to_string(n) + "/");
    }
  }
  std::vector<awc_tensor> tensors() const {
    std::vector<awc_tensor> result;
    for (const Array& array : arrays) {
      awc_tensor tensor{array.name.c_str(), AWC_FLOAT32, static_cast<int32_t>(array.shape.size()), {}, array.values.data(),
                        array.values.size() * sizeof(float)};
      std::copy(array.shape.begin(), array.shape.end(), tensor.shape);
      result.push_back(tensor);
    }
    return result;
  }

 private:
  std::mt19937 random_;

  void add(const std::string& name, const std::vector<int64_t>& shape, float center = 0.0f) {
    size_t count = 1;
    for (const int64_t side : shape) count *= static_cast<size_t>(side);
    std::normal_distribution<float> distribution(center, 0.2f);
    Array array{name, shape, std::vector<float>(count)};
    for (float& value : array.values) value = distribution(random_);
    arrays.push_back(std::move(array));
  }
  void norm(const std::string& name) {
    add(name + "/gamma", {kWidth}, 1.0f);
    add(name + "/beta", {kWidth});
  }
  void linear(const std::string& name, int64_t N, int64_t K) {
    add(name + "/weight", {N, K});
    add(name + "/bias", {N});
  }
  void layer(const std::string& part, const std::string& name) {
    const int64_t D = kWidth;
    norm(name + "self_attention/layer_norm");
    linear(name + "self_attention/linear_0", 3 * D, D);
    linear(name + "self_attention/linear_1", D, D);
    if (part == "decoder") {
      norm(name + "attention/layer_norm");
      linear(name + "attention/linear_0", D, D);
      linear(name + "attention/linear_1", 2 * D, D);
      linear(name + "attention/linear_2", D, D);
    }
    norm(name + "ffn/layer_norm");
    linear(name + "ffn/linear_0", 4 * D, D);
    linear(name + "ffn/linear_1", D, 4 * D);
  }
};

constexpr awc_tokens kTokens{201, 200, 210, 211};

struct Model {
  awc_model* handle = nullptr;
  explicit Model(const std::vector<awc_tensor>& tensors) {
    awc_error error;
    expect(awc_model_new(tensors.data(), tensors.size(), &kTokens, nullptr, &handle, &error) == AWC_OK, error.message);
  }
  ~Model() { awc_model_free(handle); }
};

struct Audio {
  awc_audio* handle = nullptr;
  Audio(const Model& model, unsigned seed, int mel_frames) {
    std::mt19937 random(seed);
    std::normal_distribution<float> distribution;
    std::vector<float> mel(static_cast<size_t>(Network::kMels) * mel_frames);
    for (float& value : mel) value = distribution(random);
    std::vector<float> encoded(static_cast<size_t>(mel_frames) / 2 * Network::kWidth);
    awc_error error;
    expect(awc_encode(model.handle, mel.data(), mel_frames, nullptr, encoded.data(), &error) == AWC_OK, error.message);
    expect(awc_audio_new(model.handle, encoded.data(), mel_frames / 2, nullptr, &handle, &error) == AWC_OK, error.message);
  }
  ~Audio() { awc_audio_free(handle); }
  Audio(const Audio&) = delete;
};

constexpr int kNew = 12;

awc_search search_of(int hypotheses, float temperature) {
  awc_search search{};
  search.hypotheses = hypotheses;
  search.temperature = temperature;
  search.seed = 7;
  search.patience = search.length_penalty = search.repetition_penalty = 1.0f;
  search.max_new_tokens = kNew;
  return search;
}

// What a search writes for some audios: all that is told of every row, as bytes.
std::vector<std::vector<float>> searched(const Model& model, const std::vector<const awc_audio*>& audios, const awc_search& search,
                                         awc_status wanted = AWC_OK, const int32_t* cancel = nullptr) {
  const size_t rows = audios.size();
  std::vector<int32_t> prompts, lengths, tokens(rows * kNew, -1), count(rows), finished(rows);
  for (size_t n = 0; n < rows; ++n) prompts.insert(prompts.end(), {201, 202, 211}), lengths.push_back(3);
  std::vector<float> totals(rows), scores(rows), no_speech(rows), log_probabilities(rows * kNew), probabilities(rows * kNew);
  awc_texts texts{kNew, tokens.data(), count.data(), totals.data(), scores.data(), finished.data(), no_speech.data(),
                  log_probabilities.data(), probabilities.data()};
  awc_error error;
  const awc_status status = awc_generate(model.handle, audios.data(), static_cast<int32_t>(rows), prompts.data(), lengths.data(),
                                         &search, cancel, &texts, &error);
  expect(status == wanted, status == AWC_OK ? "a search was to fail" : error.message);
  std::vector<std::vector<float>> found(rows);
  for (size_t n = 0; n < rows && status == AWC_OK; ++n) {
    expect(count[n] >= 0 && count[n] <= kNew, "lengths are within what was asked for");
    found[n] = {totals[n], scores[n], no_speech[n], static_cast<float>(finished[n])};
    for (int32_t i = 0; i < count[n]; ++i) {
      const size_t at = n * kNew + static_cast<size_t>(i);
      found[n].insert(found[n].end(), {static_cast<float>(tokens[at]), log_probabilities[at], probabilities[at]});
      expect(tokens[at] >= 0 && tokens[at] < Network::kVocabulary, "tokens are those of the vocabulary");
    }
  }
  return found;
}

std::vector<int32_t> aligned(const Model& model, const awc_audio* audio, int frames) {
  const int32_t start[] = {201, 202}, text[] = {5, 9, 7, 100}, heads[] = {0, 1, 1, 0};
  std::vector<int32_t> starts(5);
  std::vector<float> probabilities(4);
  awc_error error;
  expect(awc_align(model.handle, audio, start, 2, text, 4, frames, heads, 2, 7, nullptr, starts.data(), probabilities.data(),
                   &error) == AWC_OK, error.message);
  expect(std::is_sorted(starts.begin(), starts.end()), "starts of tokens do not decrease");
  return starts;
}

// Rows alone, together and from four threads at once are the same bits.
void compare_threads(const Model& model) {
  constexpr int kLengths[] = {40, 2, 3000, 260};
  std::vector<Audio*> audios;
  std::vector<const awc_audio*> handles;
  for (const int length : kLengths) audios.push_back(new Audio(model, 3u + static_cast<unsigned>(length), length));
  for (const Audio* audio : audios) handles.push_back(audio->handle);
  for (const awc_search& search : {search_of(1, 0.0f), search_of(5, 0.0f), search_of(3, 0.8f)}) {
    const auto together = searched(model, handles, search);
    std::vector<std::thread> threads;
    for (size_t n = 0; n < handles.size(); ++n) {
      threads.emplace_back([&, n] {
        expect(searched(model, {handles[n]}, search)[0] == together[n], "a row alone is the row in a batch");
        aligned(model, handles[n], kLengths[n] / 2);
        const Audio own(model, 3u + static_cast<unsigned>(kLengths[n]), kLengths[n]);
        expect(searched(model, {own.handle}, search)[0] == together[n], "the same audio gives the same text");
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const int32_t cancel = 1;
  searched(model, handles, search_of(5, 0.0f), AWC_CANCELLED, &cancel);
  std::vector<float> mel(Network::kMels * 40), out(20 * Network::kWidth);
  expect(awc_encode(model.handle, mel.data(), 40, &cancel, out.data(), nullptr) == AWC_CANCELLED, "encoding is cancelled");
  for (Audio* audio : audios) delete audio;
}

// Weights with one or two lies: a model or an error that says what is wrong, and nothing else.
void load_damaged(const Network& network, unsigned seed, int rounds) {
  std::mt19937 random(seed);
  const auto among = [&](size_t count) { return static_cast<size_t>(random() % count); };
  int refused = 0;
  for (int round = 0; round < rounds; ++round) {
    std::vector<awc_tensor> tensors = network.tensors();
    std::vector<float> copy;
    awc_tensor& tensor = tensors[among(tensors.size())];
    switch (among(8)) {
      case 0: tensor.bytes = among(tensor.bytes); break;
      case 1: tensor.shape[among(4)] = static_cast<int64_t>(random()) - (int64_t{1} << 31); break;
      case 2: tensor.rank = static_cast<int32_t>(among(7)) - 1; break;
      case 3: tensor.type = static_cast<int32_t>(among(9)) - 1; break;
      case 4: tensor.data = nullptr; break;
      case 5: std::swap(tensor, tensors.back()), tensors.pop_back(); break;
      case 6: std::swap(tensor.name, tensors[among(tensors.size())].name); break;
      default:
        copy.assign(static_cast<const float*>(tensor.data), static_cast<const float*>(tensor.data) + tensor.bytes / sizeof(float));
        copy[among(copy.size())] = among(2) ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
        tensor.data = copy.data();
    }
    awc_model* model = nullptr;
    awc_error error{};
    const awc_status status = awc_model_new(tensors.data(), tensors.size(), &kTokens, nullptr, &model, &error);
    const bool told = status == AWC_BAD_WEIGHTS || status == AWC_INVALID_ARGUMENT || status == AWC_OUT_OF_MEMORY;
    expect(status == AWC_OK ? model != nullptr : told && !model && error.message[0], "a lie in weights is told");
    refused += status != AWC_OK;
    awc_model_free(model);
  }
  expect(rounds < 50 || refused > rounds / 2, "most lies are noticed");
}

// A tensor whose number of values has more bits than a size: it wraps round to 0, which 0 bytes would be enough for.
void load_without_end(const Network& network) {
  std::vector<awc_tensor> tensors = network.tensors();
  constexpr int64_t kSide = int64_t{1} << 31;
  tensors.push_back({"another", AWC_FLOAT32, 3, {kSide, 4, kSide, 0}, nullptr, 0});
  awc_model* model = nullptr;
  awc_error error{};
  expect(awc_model_new(tensors.data(), tensors.size(), &kTokens, nullptr, &model, &error) == AWC_BAD_WEIGHTS, "2^64 values are refused");
  awc_model_free(model);
}

// A classifier of letters, from random tensors.
struct Letters {
  static constexpr int kWidth = 70, kHidden = 33, kSymbols = 19;
  std::vector<Network::Array> arrays;
  awc_letters* handle = nullptr;
  explicit Letters(unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> distribution(0.0f, 0.2f);
    arrays = {{"mean", {kWidth}, {}}, {"spread", {kWidth}, {}}, {"hidden/weight", {kHidden, 3 * kWidth}, {}},
              {"hidden/bias", {kHidden}, {}}, {"output/weight", {kSymbols, kHidden}, {}}, {"output/bias", {kSymbols}, {}}};
    for (Network::Array& array : arrays) {
      size_t count = 1;
      for (const int64_t side : array.shape) count *= static_cast<size_t>(side);
      array.values.resize(count);
      for (float& value : array.values) value = distribution(random);
    }
    for (float& value : arrays[1].values) value = std::fabs(value) + 0.5f;
    awc_error error;
    const std::vector<awc_tensor> given = tensors();
    expect(awc_letters_new(given.data(), given.size(), nullptr, &handle, &error) == AWC_OK, error.message);
  }
  ~Letters() { awc_letters_free(handle); }
  Letters(const Letters&) = delete;

  std::vector<awc_tensor> tensors() const {
    std::vector<awc_tensor> result;
    for (const Network::Array& array : arrays) {
      awc_tensor tensor{array.name.c_str(), AWC_FLOAT32, static_cast<int32_t>(array.shape.size()), {}, array.values.data(),
                        array.values.size() * sizeof(float)};
      std::copy(array.shape.begin(), array.shape.end(), tensor.shape);
      result.push_back(tensor);
    }
    return result;
  }
  std::vector<float> hear(const std::vector<float>& encoded, int frames) const {
    std::vector<float> told(static_cast<size_t>(frames) * kSymbols);
    awc_error error;
    expect(awc_letters_hear(handle, encoded.data(), frames, told.data(), &error) == AWC_OK, error.message);
    return told;
  }
};

// What is heard is the same bits from four threads at once; paths are in order; what does not fit is told.
void compare_letters(unsigned seed) {
  const Letters letters(seed);
  if (!letters.handle) return;
  constexpr int kLengths[] = {1, 97, 200, 1500};
  std::vector<std::thread> threads;
  for (const int frames : kLengths) {
    threads.emplace_back([&letters, frames, seed] {
      std::mt19937 random(seed + static_cast<unsigned>(frames));
      std::normal_distribution<float> distribution;
      std::vector<float> encoded(static_cast<size_t>(frames) * Letters::kWidth);
      for (float& value : encoded) value = distribution(random);
      const std::vector<float> told = letters.hear(encoded, frames);
      expect(told == letters.hear(encoded, frames), "what is heard twice is the same");
      expect(std::all_of(told.begin(), told.end(), [](float one) { return one <= 0.0f; }), "logarithms of probabilities");
      std::vector<int32_t> column, path(static_cast<size_t>(frames));
      std::vector<float> paid{0.0f}, entry;
      for (int s = 0; s < 300; ++s) {
        column.push_back(static_cast<int32_t>(random() % Letters::kSymbols));
        paid.push_back(paid.back() + static_cast<float>(random() % 3));
        entry.push_back(static_cast<float>(random() % 2));
      }
      float likelihood = 0;
      awc_error error;
      expect(awc_best_path(told.data(), frames, Letters::kSymbols, column.data(), 300, paid.data(), entry.data(), path.data(),
                          &likelihood, &error) == AWC_OK, error.message);
      expect(std::is_sorted(path.begin(), path.end()) && path.front() >= 0 && path.back() < 300, "a way goes on through states");
      column[7] = Letters::kSymbols;
      expect(awc_best_path(told.data(), frames, Letters::kSymbols, column.data(), 300, paid.data(), entry.data(), path.data(),
                          &likelihood, &error) == AWC_INVALID_ARGUMENT, "a sound that is not there is refused");
      expect(awc_best_path(told.data(), 1 << 30, Letters::kSymbols, column.data(), 300, paid.data(), entry.data(), path.data(),
                          &likelihood, &error) == AWC_INVALID_ARGUMENT, "frames without end are refused");
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t n = 0; n < letters.arrays.size(); ++n) {
    for (const int lie : {0, 1, 2}) {
      std::vector<awc_tensor> tensors = letters.tensors();
      if (lie == 0) tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(n));
      if (lie == 1) tensors[n].shape[0] += 1;
      const std::vector<float> zeros(letters.arrays[n].values.size(), std::numeric_limits<float>::quiet_NaN());
      if (lie == 2) tensors[n].data = zeros.data();
      awc_letters* made = nullptr;
      awc_error error{};
      expect(awc_letters_new(tensors.data(), tensors.size(), nullptr, &made, &error) == AWC_BAD_WEIGHTS && !made && error.message[0],
             "a lie in a classifier is told");
      awc_letters_free(made);
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  const unsigned seed = count > 1 ? static_cast<unsigned>(std::strtoul(arguments[1], nullptr, 10)) : 1u;
  const int rounds = count > 2 ? std::atoi(arguments[2]) : 300;
  const Network network(seed);
  {
    const Model model(network.tensors());
    if (model.handle) compare_threads(model);
  }
  compare_letters(seed);
  load_damaged(network, seed, rounds);
  load_without_end(network);
  std::printf("engine: %d threads and searches compared, %d damaged networks, %d wrong\n", 4, rounds, wrong.load());
  return wrong.load() != 0;
}

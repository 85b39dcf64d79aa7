#include "candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace awc {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();
constexpr int kWholeRows = 8;  // rows whose logits are written out at a time

// As CTranslate2's RepetitionPenalty: each token that was written, once.
void penalize(float* logits, const std::vector<int>& written, float penalty) {
  std::vector<int> tokens = written;
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  for (const int token : tokens) logits[token] *= logits[token] < 0 ? penalty : 1.0f / penalty;
}

// As CTranslate2's NoRepeatNgram: no n tokens twice.
void forbid_repeats(float* logits, const std::vector<int>& written, int n) {
  const size_t size = static_cast<size_t>(n);
  if (written.size() < size) return;
  const auto tail = written.end() - (n - 1);
  for (auto at = written.begin(); at + n <= written.end(); ++at) {
    if (std::equal(tail, written.end(), at)) logits[at[n - 1]] = kNone;
  }
}

float log_sum(const float* logits, size_t count) {
  float top = kNone;
  for (size_t n = 0; n < count; ++n) top = std::max(top, logits[n]);
  if (top == kNone) return kNone;
  double sum = 0;
  for (size_t n = 0; n < count; ++n) sum += std::exp(logits[n] - top);
  return top + static_cast<float>(std::log(sum));
}

Candidate candidate(int token, float logit, float log_sum, float text_log_sum, int text_end) {
  return {token, logit - log_sum, token < text_end && text_log_sum > kNone ? std::min(1.0f, std::exp(logit - text_log_sum)) : 0.0f};
}

// What is written where all is suppressed.
Candidate only_the_end(const Model& model) { return {model.tokens.end_of_text, -1e9f, 0.0f}; }

std::vector<Candidate> best_of(const float* logits, int V, int text_end, int count) {
  const float all = log_sum(logits, static_cast<size_t>(V)), text = log_sum(logits, static_cast<size_t>(text_end));
  std::vector<int> order;
  for (int n = 0; n < V; ++n) {
    if (logits[n] > kNone) order.push_back(n);
  }
  const auto told = std::min(static_cast<size_t>(count), order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(told), order.end(), [&](int a, int b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  std::vector<Candidate> found;
  for (size_t n = 0; n < told; ++n) found.push_back(candidate(order[n], logits[order[n]], all, text, text_end));
  return found;
}

int drawn_of(const float* logits, int V, float temperature, double random) {
  const float top = *std::max_element(logits, logits + V);
  double sum = 0;
  const auto weight = [&](int n) { return std::exp(static_cast<double>(logits[n] - top) / temperature); };
  for (int n = 0; n < V; ++n) sum += weight(n);
  double left = random * sum;
  int last = 0;
  for (int n = 0; n < V; ++n) {
    if (logits[n] == kNone) continue;
    last = n;
    left -= weight(n);
    if (left < 0) break;
  }
  return last;
}

}  // namespace

void Candidates::projected(const float* hidden, int first_row, int R, bool first, int count,
                           std::vector<std::vector<Candidate>>& found) {
  const Kernels& kernels = *model_.kernels;
  const int D = model_.shape.width, text_end = model_.tokens.end_of_text;
  const size_t rows = static_cast<size_t>(R), told = rows * static_cast<size_t>(count);
  std::vector<float> sums(rows), text_sums(rows), logits(told);
  std::vector<int32_t> tokens(told);
  const QuantizedRows quantized = work_.quantized(R, D);
  kernels.quantize(hidden + static_cast<size_t>(first_row) * D, R, D, D, quantized);
  const std::vector<uint8_t>& suppressed = first ? search_.suppressed_first : search_.suppressed;
  const Projection projection{suppressed.data(), text_end, count, sums.data(), text_sums.data(), logits.data(), tokens.data()};
  kernels.project(quantized, R, model_.vocabulary.packed.data(), model_.shape.vocabulary, D, projection, work_.scratch);
  for (size_t r = 0; r < rows; ++r) {
    std::vector<Candidate> row;
    for (size_t n = r * count; n < (r + 1) * count && tokens[n] >= 0; ++n) {
      row.push_back(candidate(tokens[n], logits[n], sums[r], text_sums[r], text_end));
    }
    found.push_back(std::move(row));
  }
}

template <class Each>
void Candidates::each_row_of_logits(const float* hidden, const std::vector<const Text*>& texts, bool first, Each each) {
  const Kernels& kernels = *model_.kernels;
  const int D = model_.shape.width, V = model_.shape.vocabulary;
  const std::vector<uint8_t>& suppressed = first ? search_.suppressed_first : search_.suppressed;
  float* logits = work_.logits.get<float>(static_cast<size_t>(kWholeRows) * V);
  for (size_t at = 0; at < texts.size(); at += kWholeRows) {
    const int R = static_cast<int>(std::min(texts.size() - at, static_cast<size_t>(kWholeRows)));
    const QuantizedRows quantized = work_.quantized(R, D);
    kernels.quantize(hidden + at * D, R, D, D, quantized);
    multiply(kernels, model_.vocabulary, quantized, R, Then::kStore, logits);
    for (int r = 0; r < R; ++r) {
      float* row = logits + static_cast<size_t>(r) * V;
      const std::vector<int>& written = texts[at + static_cast<size_t>(r)]->tokens;
      if (search_.options.repetition_penalty != 1) penalize(row, written, search_.options.repetition_penalty);
      if (search_.options.no_repeat_ngram > 0) forbid_repeats(row, written, search_.options.no_repeat_ngram);
      for (int n = 0; n < V; ++n) {
        if (suppressed[static_cast<size_t>(n)] || !(row[n] == row[n])) row[n] = kNone;
      }
      each(at + static_cast<size_t>(r), row);
    }
  }
}

std::vector<std::vector<Candidate>> Candidates::best(const float* hidden, const std::vector<const Text*>& texts, bool first,
                                                     int count) {
  std::vector<std::vector<Candidate>> found;
  if (search_.penalizes()) {
    each_row_of_logits(hidden, texts, first, [&](size_t, const float* logits) {
      found.push_back(best_of(logits, model_.shape.vocabulary, model_.tokens.end_of_text, count));
    });
  } else {
    const int rows = static_cast<int>(texts.size());
    for (int at = 0; at < rows; at += kDecoderRows) projected(hidden, at, std::min(kDecoderRows, rows - at), first, count, found);
  }
  for (std::vector<Candidate>& row : found) {
    if (row.empty()) row.push_back(only_the_end(model_));
  }
  return found;
}

std::vector<Candidate> Candidates::drawn(const float* hidden, const std::vector<const Text*>& texts, bool first,
                                         const std::vector<double>& random) {
  std::vector<Candidate> found;
  const int V = model_.shape.vocabulary, text_end = model_.tokens.end_of_text;
  each_row_of_logits(hidden, texts, first, [&](size_t row, const float* logits) {
    const float all = log_sum(logits, static_cast<size_t>(V)), text = log_sum(logits, static_cast<size_t>(text_end));
    if (all == kNone) return found.push_back(only_the_end(model_));
    const int token = drawn_of(logits, V, search_.options.temperature, random[row]);
    found.push_back(candidate(token, logits[token], all, text, text_end));
  });
  return found;
}

namespace {

// The logit of a token after one quantised row
float logit_of(const Model& model, const QuantizedRows& row, int token) {
  constexpr int kColumns = 32;
  float logits[kColumns];
  const Linear& vocabulary = model.vocabulary;
  const int first = token / kColumns * kColumns;
  model.kernels->linear(row, 1, vocabulary.packed.data(), vocabulary.N, vocabulary.K, first,
                        std::min(first + kColumns, vocabulary.N), Then::kStore, logits, kColumns);
  return logits[token - first];
}

void log_probabilities_of(const Model& model, Workspace& work, const float* hidden, int R, const int* tokens, bool text,
                          float* found) {
  const int D = model.shape.width, V = model.shape.vocabulary;
  std::vector<float> sums(static_cast<size_t>(R)), text_sums(static_cast<size_t>(R));
  const QuantizedRows rows = work.quantized(R, D);
  model.kernels->quantize(hidden, R, D, D, rows);
  const Projection projection{nullptr, model.tokens.end_of_text, 0, sums.data(), text_sums.data(), nullptr, nullptr};
  model.kernels->project(rows, R, model.vocabulary.packed.data(), V, D, projection, work.scratch);
  for (int r = 0; r < R; ++r) {
    const QuantizedRows row{rows.values + static_cast<size_t>(r) * D, rows.scales + r, rows.sums + r};
    found[r] = logit_of(model, row, tokens[r]) - (text ? text_sums : sums)[static_cast<size_t>(r)];
  }
}

}  // namespace

void no_speech_probabilities(const Model& model, Workspace& work, const float* hidden, int R, float* probabilities) {
  const std::vector<int> tokens(static_cast<size_t>(R), model.tokens.no_speech);
  log_probabilities_of(model, work, hidden, R, tokens.data(), false, probabilities);
  for (int r = 0; r < R; ++r) probabilities[r] = std::clamp(std::exp(probabilities[r]), 0.0f, 1.0f);
}

void text_log_probabilities(const Model& model, Workspace& work, const float* hidden, int R, const int* tokens, float* found) {
  log_probabilities_of(model, work, hidden, R, tokens, true, found);
}

}  // namespace awc

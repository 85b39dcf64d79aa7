#include "search.h"

#include <algorithm>
#include <cstring>

#include "../model/cache.h"
#include "candidates.h"

namespace awc {
namespace {

// Prompts first .. last - 1 in one pass; where the start of transcript is among the tokens, its no-speech probability.
void read_some(const Model& model, Workspace& work, Cache& cache, std::vector<Task>& tasks, size_t first, size_t last,
               const Cancellation& cancellation, std::vector<float>& no_speech) {
  const size_t D = static_cast<size_t>(model.shape.width);
  std::vector<Row> rows;
  std::vector<size_t> starts, owners;  // rows of starts of transcripts, and whose they are
  for (size_t n = first; n < last; ++n) {
    Task& task = tasks[n];
    for (size_t at = 0; at + 1 < task.prompt.size(); ++at) task.slots.push_back(cache.take());
    for (size_t at = 0; at < task.slots.size(); ++at) {
      if (static_cast<int>(at) == task.start_at) starts.push_back(rows.size()), owners.push_back(n);
      rows.push_back({task.prompt[at], static_cast<int>(at), task.slots.data(), static_cast<int>(at) + 1, task.audio});
    }
  }
  if (rows.empty()) return;
  Buffer states;
  float* hidden = states.get<float>(rows.size() * D);
  decode(model, work, cache, rows, cancellation, hidden);
  std::vector<float> chosen(starts.size() * D), found(starts.size());
  for (size_t n = 0; n < starts.size(); ++n) std::memcpy(&chosen[n * D], hidden + starts[n] * D, D * sizeof(float));
  no_speech_probabilities(model, work, chosen.data(), static_cast<int>(starts.size()), found.data());
  for (size_t n = 0; n < starts.size(); ++n) no_speech[owners[n]] = found[n];
}

}  // namespace

void read_prompts(const Model& model, Workspace& work, Cache& cache, std::vector<Task>& tasks,
                  const Cancellation& cancellation, std::vector<float>& no_speech) {
  for (size_t first = 0; first < tasks.size();) {
    size_t last = first, rows = 0;
    do {
      rows += tasks[last++].prompt.size() - 1;
    } while (last < tasks.size() && rows + tasks[last].prompt.size() - 1 <= kDecoderRows);
    read_some(model, work, cache, tasks, first, last, cancellation, no_speech);
    first = last;
  }
}

std::vector<Text> generate(Model& model, std::vector<Task>& tasks, const Search& search, const Cancellation& cancellation,
                           std::vector<float>& no_speech) {
  const std::shared_ptr<Workspace> work = model.workspace();
  Cache cache(model.shape.decoder_layers, model.shape.width);
  no_speech.assign(tasks.size(), 0.0f);
  read_prompts(model, *work, cache, tasks, cancellation, no_speech);
  const bool beams = search.options.hypotheses > 1 && !search.sampling();
  return (beams ? beam_search : greedy_search)(model, *work, cache, tasks, search, cancellation);
}

size_t generate_bytes(const Model& model, int rows, int hypotheses, int prompt_tokens, int new_tokens) {
  const auto size = [](int n) { return static_cast<size_t>(n); };
  const size_t D = size(model.shape.width), V = size(model.shape.vocabulary);
  const size_t texts = size(rows) * size(hypotheses);
  const size_t slots = size(rows) * size(prompt_tokens) + texts * size(new_tokens) + 16;
  const size_t passing = std::max(texts, size(kDecoderRows));
  const size_t hidden = std::max({texts, size(prompt_tokens), size(kDecoderRows)});
  const size_t each = D * sizeof(float) * (1 + 1 + 4) + 4 * D + 8;  // x, y, what is wide, and its 8 bits
  // A text has its tokens, two probabilities and its slots; a beam is copied to the next, and finished ones are kept.
  const size_t written = 4 * texts * (size(prompt_tokens) + size(new_tokens)) * 16;
  return slots * Cache::slot_bytes(model.shape.decoder_layers, model.shape.width) + passing * each +
         hidden * D * sizeof(float) + 8 * V * sizeof(float) + 3 * V + written + (1 << 20);
}

}  // namespace awc

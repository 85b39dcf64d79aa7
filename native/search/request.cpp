#include "request.h"

#include <algorithm>
#include <cmath>

#include "../model/failure.h"

namespace awc {
namespace {

void mark(std::vector<uint8_t>& suppressed, const int32_t* tokens, int32_t count) {
  require(count >= 0 && (count == 0 || tokens), "the suppressed tokens are missing");
  for (int32_t n = 0; n < count; ++n) {
    require(tokens[n] >= 0 && static_cast<size_t>(tokens[n]) < suppressed.size(), "a suppressed token is none of the vocabulary");
    suppressed[static_cast<size_t>(tokens[n])] = 1;
  }
}

void check(const awc_search& options) {
  require(options.hypotheses >= 1 && options.hypotheses <= AWC_MAX_HYPOTHESES, "1 to 100 hypotheses");
  require(std::isfinite(options.temperature) && options.temperature >= 0, "a temperature of 0 or above");
  require(std::isfinite(options.patience) && options.patience > 0, "a patience above 0");
  require(std::isfinite(options.length_penalty), "a length penalty that is a number");
  require(std::isfinite(options.repetition_penalty) && options.repetition_penalty > 0, "a repetition penalty above 0");
  require(options.no_repeat_ngram >= 0, "a no-repeat n-gram size of 0 or above");
  require(options.max_new_tokens >= 1 && options.max_new_tokens <= AWC_CONTEXT, "1 to 448 new tokens");
}

Task task_of(const Model& model, const Audio* audio, const int32_t* prompt, int length, const awc_search& options) {
  const awc_tokens& tokens = model.tokens;
  Task task{};
  task.audio = audio;
  task.prompt.assign(prompt, prompt + length);
  for (const int token : task.prompt) require(token >= 0 && token < model.shape.vocabulary, "a prompt's token is none of the vocabulary");
  const auto start = std::find(task.prompt.begin(), task.prompt.end(), tokens.start_of_transcript);
  require(start != task.prompt.end(), "a prompt has no start of transcript");
  task.start_at = static_cast<int>(start - task.prompt.begin());
  auto end = start;
  while (end != task.prompt.end() && *end >= tokens.start_of_transcript && *end <= tokens.no_timestamps) ++end;
  require(*(end - 1) == tokens.no_timestamps, "a prompt asks for timestamps, which this engine does not write");
  task.prefix = static_cast<int>(task.prompt.end() - end);
  const int before = length - task.prefix;
  task.most = std::min(options.max_new_tokens, model.shape.context - before);
  require(task.most > task.prefix, "a prompt leaves no room for text");
  return task;
}

}  // namespace

Search::Search(const awc_search& given, const Model& model) : options(given) {
  check(options);
  suppressed.assign(static_cast<size_t>(model.shape.vocabulary), 0);
  mark(suppressed, options.suppressed, options.suppressed_count);
  suppressed_first = suppressed;
  mark(suppressed_first, options.suppressed_first, options.suppressed_first_count);
}

float Search::score(float total, size_t length) const {
  return total / std::pow(static_cast<float>(length), options.length_penalty);
}

std::vector<Task> tasks_of(const Model& model, const awc_audio* const* audios, int rows, const int32_t* prompts,
                           const int32_t* lengths, const awc_search& options) {
  std::vector<Task> tasks;
  for (int row = 0; row < rows; ++row) {
    require(lengths[row] >= 1 && lengths[row] < model.shape.context, "a prompt has 1 to 447 tokens");
    tasks.push_back(task_of(model, audios[row]->audio.get(), prompts, lengths[row], options));
    prompts += lengths[row];
  }
  return tasks;
}

Text begun(const Task& task) {
  Text text;
  text.tokens.assign(task.prompt.end() - task.prefix, task.prompt.end());
  text.log_probabilities.assign(text.tokens.size(), 0.0f);
  text.text_probabilities.assign(text.tokens.size(), 0.0f);
  return text;
}

}  // namespace awc

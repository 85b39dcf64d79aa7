// What one call of awc_generate asks for, checked, and what it finds.
#pragma once

#include <string>
#include <vector>

#include "../model/audio.h"
#include "../model/model.h"

namespace awc {

// One row of the batch.
struct Task {
  const Audio* audio;
  std::vector<int> prompt;  // all of it, the prefix last
  int start_at = 0;         // where the start of transcript stands in the prompt
  int prefix = 0;           // tokens of the prompt that are text already
  int most = 0;             // tokens of text that there is room for, the prefix included
  std::vector<int> slots;   // of the prompt's tokens but the last, once they are in the cache
};

// A text in the making, or a finished one.
struct Text {
  std::vector<int> tokens;                  // the prefix first
  std::vector<float> log_probabilities;     // of each token
  std::vector<float> text_probabilities;    // of each token among the text tokens
  float total = 0;                          // sum of log-probabilities, of the end of text too
  float score = 0;                          // total / length ** length_penalty
  bool finished = false;
};

struct Search {
  Search(const awc_search& options, const Model& model);

  awc_search options;
  std::vector<uint8_t> suppressed, suppressed_first;  // [V] 1: never; the second for the first free token
  bool sampling() const { return options.temperature > 0; }
  // Whether a row's own history changes its logits.
  bool penalizes() const { return options.repetition_penalty != 1 || options.no_repeat_ngram > 0; }
  float score(float total, size_t length) const;
};

std::vector<Task> tasks_of(const Model& model, const awc_audio* const* audios, int rows, const int32_t* prompts,
                           const int32_t* lengths, const awc_search& options);

// The text before anything is decoded: the prefix alone.
Text begun(const Task& task);

}  // namespace awc

// The handles of the C face.
struct awc_audio {
  std::unique_ptr<awc::Audio> audio;
  const awc_model* model;
};

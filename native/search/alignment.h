// Where each token of a text is heard: teacher forcing, cross-attention of some heads, dynamic time warping.
#pragma once

#include <utility>
#include <vector>

#include "../model/audio.h"
#include "../model/failure.h"
#include "../model/model.h"

namespace awc {

struct Alignment {
  std::vector<int> start, text;            // tokens
  std::vector<std::pair<int, int>> heads;  // (layer, head)
  int frames = 0;                          // the first of the audio's
  int median_filter = 1;                   // odd
};

// starts[text + 1]; probabilities[text] or nullptr. Throws Failure, std::bad_alloc.
void align(Model& model, const Audio& audio, const Alignment& wanted, const Cancellation& cancellation, int32_t* starts,
           float* probabilities);

// Hidden states after each token, teacher forcing: hidden[tokens][D]. Throws as above.
void force(Model& model, Workspace& work, const Audio& audio, const std::vector<int>& tokens,
           const Cancellation& cancellation, float* hidden, struct HeadScores* scores);

}  // namespace awc

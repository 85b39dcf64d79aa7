// Which tokens may follow, with their log-probabilities.
#pragma once

#include <vector>

#include "../model/decoder.h"
#include "request.h"

namespace awc {

struct Candidate {
  int token;
  float log_probability;   // among all that are not suppressed
  float text_probability;  // among the text tokens that are not suppressed; 0 for any other token
};

// What follows each row of hidden[R][D]. `texts` are what the rows have written, for the penalties; `first`: nothing but
// a prefix is written. Every row gets at least one candidate. Throws std::bad_alloc.
class Candidates {
 public:
  Candidates(const Model& model, const Search& search, Workspace& work) : model_(model), search_(search), work_(work) {}

  // The `count` most likely ones, most likely first.
  std::vector<std::vector<Candidate>> best(const float* hidden, const std::vector<const Text*>& texts, bool first, int count);

  // One for each row, drawn at the search's temperature by the random number (0 <= it < 1) of each row.
  std::vector<Candidate> drawn(const float* hidden, const std::vector<const Text*>& texts, bool first,
                               const std::vector<double>& random);

 private:
  void projected(const float* hidden, int first_row, int R, bool first, int count, std::vector<std::vector<Candidate>>& found);
  template <class Each>
  void each_row_of_logits(const float* hidden, const std::vector<const Text*>& texts, bool first, Each each);

  const Model& model_;
  const Search& search_;
  Workspace& work_;
};

// The probability of the no-speech token among all, after each row of hidden[R][D].
void no_speech_probabilities(const Model& model, Workspace& work, const float* hidden, int R, float* probabilities);

// The log-probability of one token among the text tokens, after each row of hidden[R][D].
void text_log_probabilities(const Model& model, Workspace& work, const float* hidden, int R, const int* tokens, float* found);

}  // namespace awc

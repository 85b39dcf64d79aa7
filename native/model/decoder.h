// One pass of the decoder over rows: each has a token, a position, the tokens that it attends to, and its audio.
#pragma once

#include <vector>

#include "audio.h"
#include "cache.h"
#include "failure.h"
#include "model.h"

namespace awc {

struct Row {
  int token;
  int position;
  const int* slots;  // the tokens that it attends to, its own slot last
  int count;         // how many they are
  const Audio* audio;
};

// Which cross-attention to look at while rows go through: for each head the scores q k / 8 of each row.
struct HeadScores {
  struct Head {
    int layer, head;
    float* scores;  // [rows][frames]
  };
  std::vector<Head> heads;
  int frames = 0;
  int last_layer = -1;  // the rows go no further than this layer's cross-attention; -1: all the way
};

// The rows through the decoder -> hidden[R][D], normalised, ready for the vocabulary (nullptr: only the caches are
// wanted, or the scores). Rows of one audio are to stand together: they are attended to at once. A row may attend to an
// earlier one of the same call. Throws Failure, std::bad_alloc.
void decode(const Model& model, Workspace& work, const Cache& cache, const std::vector<Row>& rows,
            const Cancellation& cancellation, float* hidden, HeadScores* scores = nullptr);

// Rows that `decode` takes through the layers at a time.
constexpr int kDecoderRows = 96;

}  // namespace awc

#include "alignment.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "../model/cache.h"
#include "../model/decoder.h"
#include "candidates.h"

namespace awc {
namespace {

// scores[N][T] -> softmax over frames
void softmax(float* scores, int N, int T) {
  for (int n = 0; n < N; ++n, scores += T) {
    const float top = *std::max_element(scores, scores + T);
    float sum = 0;
    for (int t = 0; t < T; ++t) sum += scores[t] = std::exp(scores[t] - top);
    for (int t = 0; t < T; ++t) scores[t] /= sum;
  }
}

// weights[N][T] -> mean 0 and variance 1 over the tokens, for each frame
void normalize_over_tokens(float* weights, int N, int T) {
  std::vector<float> mean(static_cast<size_t>(T), 0.0f), variance(static_cast<size_t>(T), 0.0f);
  for (int n = 0; n < N; ++n) {
    for (int t = 0; t < T; ++t) mean[t] += weights[static_cast<size_t>(n) * T + t] / static_cast<float>(N);
  }
  for (int n = 0; n < N; ++n) {
    for (int t = 0; t < T; ++t) {
      const float off = weights[static_cast<size_t>(n) * T + t] - mean[t];
      variance[t] += off * off / static_cast<float>(N);
    }
  }
  for (float& one : variance) one = one > 0 ? 1.0f / std::sqrt(one) : 0.0f;
  for (int n = 0; n < N; ++n) {
    for (int t = 0; t < T; ++t) {
      float& weight = weights[static_cast<size_t>(n) * T + t];
      weight = (weight - mean[t]) * variance[t];
    }
  }
}

// matrix[N][T] += share * the median of `width` frames around each of weights[N][T], mirrored at both ends
void add_medians(const float* weights, int N, int T, int width, float share, float* matrix) {
  const int side = width / 2;
  std::vector<float> window(static_cast<size_t>(width));
  for (int n = 0; n < N; ++n, weights += T, matrix += T) {
    for (int t = 0; t < T; ++t) {
      float median = weights[t];
      if (side > 0 && T > side) {
        for (int k = -side; k <= side; ++k) {
          int at = std::abs(t + k);
          if (at >= T) at = 2 * T - at - 2;
          window[static_cast<size_t>(k + side)] = weights[at];
        }
        std::nth_element(window.begin(), window.begin() + side, window.end());
        median = window[static_cast<size_t>(side)];
      }
      matrix[t] += share * median;
    }
  }
}

enum Move : uint8_t { kBoth, kToken, kFrame };

// For each place (token, frame) from 1 on, where the best path to it comes from: moves[N + 1][T + 1].
std::vector<uint8_t> best_moves(const float* matrix, int N, int T) {
  constexpr float kFar = std::numeric_limits<float>::infinity();
  const size_t wide = static_cast<size_t>(T) + 1;
  std::vector<uint8_t> moves((static_cast<size_t>(N) + 1) * wide, kFrame);
  std::vector<float> above(wide, kFar), cost(wide);
  above[0] = 0;
  for (int n = 1; n <= N; ++n) {
    cost[0] = kFar;
    moves[static_cast<size_t>(n) * wide] = kToken;
    for (size_t t = 1; t < wide; ++t) {
      const float both = above[t - 1], token = above[t], frame = cost[t - 1];
      const Move move = both < token && both < frame ? kBoth : token < both && token < frame ? kToken : kFrame;
      moves[static_cast<size_t>(n) * wide + t] = move;
      cost[t] = (move == kBoth ? both : move == kToken ? token : frame) - matrix[static_cast<size_t>(n - 1) * T + t - 1];
    }
    std::swap(above, cost);
  }
  return moves;
}

// The first frame of every row of matrix[N][T] on the path of most weight; of a token without a frame, that of the next.
void first_frames(const float* matrix, int N, int T, int32_t* starts) {
  const std::vector<uint8_t> moves = best_moves(matrix, N, T);
  std::fill(starts, starts + N, T);
  for (int n = N, t = T; n > 0 || t > 0;) {
    int32_t& start = starts[std::max(0, n - 1)];
    start = std::min(start, std::max(0, t - 1));
    const uint8_t move = moves[static_cast<size_t>(n) * (static_cast<size_t>(T) + 1) + static_cast<size_t>(t)];
    if (move != kFrame) --n;
    if (move != kToken) --t;
  }
  for (int n = 1; n < N; ++n) starts[n] = std::max(starts[n], starts[n - 1]);
}

}  // namespace

void force(Model& model, Workspace& work, const Audio& audio, const std::vector<int>& tokens,
           const Cancellation& cancellation, float* hidden, HeadScores* scores) {
  Cache cache(model.shape.decoder_layers, model.shape.width);
  std::vector<int> slots;
  for (size_t n = 0; n < tokens.size(); ++n) slots.push_back(cache.take());
  std::vector<Row> rows;
  for (size_t n = 0; n < tokens.size(); ++n) {
    rows.push_back({tokens[n], static_cast<int>(n), slots.data(), static_cast<int>(n) + 1, &audio});
  }
  decode(model, work, cache, rows, cancellation, hidden, scores);
}

void align(Model& model, const Audio& audio, const Alignment& wanted, const Cancellation& cancellation, int32_t* starts,
           float* probabilities) {
  std::vector<int> tokens = wanted.start;
  tokens.push_back(model.tokens.no_timestamps);
  tokens.insert(tokens.end(), wanted.text.begin(), wanted.text.end());
  tokens.push_back(model.tokens.end_of_text);
  const int N = static_cast<int>(tokens.size()), T = wanted.frames, offset = static_cast<int>(wanted.start.size());
  const size_t size = static_cast<size_t>(N) * static_cast<size_t>(T);
  const std::shared_ptr<Workspace> work = model.workspace();

  std::vector<float> weights(size * wanted.heads.size());
  HeadScores scores;
  scores.frames = T;
  int last_layer = 0;
  for (size_t n = 0; n < wanted.heads.size(); ++n) {
    scores.heads.push_back({wanted.heads[n].first, wanted.heads[n].second, weights.data() + n * size});
    last_layer = std::max(last_layer, wanted.heads[n].first);
  }
  if (!probabilities) scores.last_layer = last_layer;
  const size_t D = static_cast<size_t>(model.shape.width);
  std::vector<float> hidden(probabilities ? static_cast<size_t>(N) * D : 0);
  force(model, *work, audio, tokens, cancellation, probabilities ? hidden.data() : nullptr, &scores);

  std::vector<float> matrix(size, 0.0f);
  for (HeadScores::Head& head : scores.heads) {
    cancellation.check();
    softmax(head.scores, N, T);
    normalize_over_tokens(head.scores, N, T);
    add_medians(head.scores, N, T, wanted.median_filter, 1.0f / static_cast<float>(scores.heads.size()), matrix.data());
  }
  const int count = static_cast<int>(wanted.text.size());
  first_frames(matrix.data() + static_cast<size_t>(offset) * T, count + 1, T, starts);
  if (!probabilities) return;
  for (int at = 0; at < count; at += kDecoderRows) {
    const int R = std::min(kDecoderRows, count - at);
    text_log_probabilities(model, *work, hidden.data() + static_cast<size_t>(offset + at) * D, R, wanted.text.data() + at, probabilities + at);
  }
  for (int n = 0; n < count; ++n) {
    const float probability = std::exp(probabilities[n]);
    probabilities[n] = wanted.text[static_cast<size_t>(n)] < model.tokens.end_of_text && probability == probability ? std::min(1.0f, probability) : 0.0f;
  }
}

}  // namespace awc

#include "best_path.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "../kernels/kernels.h"

namespace awc {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

// The first state before `end` from which it is best to leave, given how likely the best path to each is.
int32_t left_from(const float* best, const float* paid, int end) {
  float top = kNone;
  int32_t found = 0;
  for (int s = 0; s < end; ++s) {
    const float value = best[s] + paid[s + 1];
    if (value > top) top = value, found = s;
  }
  return found;
}

}  // namespace

float best_path(const Trellis& trellis, int32_t* path) {
  const size_t S = static_cast<size_t>(trellis.S), C = static_cast<size_t>(trellis.C);
  const float* paid = trellis.paid;
  Buffer kept;
  float* best = kept.get<float>(static_cast<size_t>(trellis.T) * S);  // [T][S]: how likely the best path to each state is
  std::vector<float> toll(S);
  for (size_t s = 0; s < S; ++s) toll[s] = paid[s] + trellis.entry[s];
  for (size_t s = 0; s < S; ++s) best[s] = trellis.sounds[trellis.column[s]] - paid[s] - trellis.entry[s];
  for (int t = 1; t < trellis.T; ++t) {
    const float *before = best + static_cast<size_t>(t - 1) * S, *sounds = trellis.sounds + static_cast<size_t>(t) * C;
    float* now = best + static_cast<size_t>(t) * S;
    float from_here = kNone;  // the best of all states so far, before what is left out behind it
    for (size_t s = 0; s < S; ++s) {
      const float enters = from_here - toll[s], stays = before[s];
      now[s] = (enters > stays ? enters : stays) + sounds[trellis.column[s]];
      from_here = std::max(from_here, stays + paid[s + 1]);
    }
  }
  const float* last = best + static_cast<size_t>(trellis.T - 1) * S;
  int32_t state = left_from(last, paid, trellis.S);
  const float likelihood = last[state] + paid[state + 1] - paid[S];
  for (int t = trellis.T - 1; t > 0; --t) {
    path[t] = state;
    const float *here = best + static_cast<size_t>(t) * S, *before = here - S;
    const float stayed = before[state] + trellis.sounds[static_cast<size_t>(t) * C + static_cast<size_t>(trellis.column[state])];
    if (stayed < here[state]) state = left_from(before, paid, state);
  }
  path[0] = state;
  return likelihood;
}

}  // namespace awc

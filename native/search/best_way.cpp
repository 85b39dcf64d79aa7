#include "best_way.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "../kernels/kernels.h"

namespace awc {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

// The first state before `end` from which it is best to leave, given how likely the best way to each is.
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

float best_way(const Ways& ways, int32_t* path) {
  const size_t S = static_cast<size_t>(ways.S), C = static_cast<size_t>(ways.C);
  const float* paid = ways.paid;
  Buffer kept;
  float* best = kept.get<float>(static_cast<size_t>(ways.T) * S);  // [T][S]: how likely the best way to each state is
  std::vector<float> toll(S);
  for (size_t s = 0; s < S; ++s) toll[s] = paid[s] + ways.entry[s];
  for (size_t s = 0; s < S; ++s) best[s] = ways.sounds[ways.column[s]] - paid[s] - ways.entry[s];
  for (int t = 1; t < ways.T; ++t) {
    const float *before = best + static_cast<size_t>(t - 1) * S, *sounds = ways.sounds + static_cast<size_t>(t) * C;
    float* now = best + static_cast<size_t>(t) * S;
    float from_here = kNone;  // the best of all states so far, before what is left out behind it
    for (size_t s = 0; s < S; ++s) {
      const float enters = from_here - toll[s], stays = before[s];
      now[s] = (enters > stays ? enters : stays) + sounds[ways.column[s]];
      from_here = std::max(from_here, stays + paid[s + 1]);
    }
  }
  const float* last = best + static_cast<size_t>(ways.T - 1) * S;
  int32_t state = left_from(last, paid, ways.S);
  const float likelihood = last[state] + paid[state + 1] - paid[S];
  for (int t = ways.T - 1; t > 0; --t) {
    path[t] = state;
    const float *here = best + static_cast<size_t>(t) * S, *before = here - S;
    const float stayed = before[state] + ways.sounds[static_cast<size_t>(t) * C + static_cast<size_t>(ways.column[state])];
    if (stayed < here[state]) state = left_from(before, paid, state);
  }
  path[0] = state;
  return likelihood;
}

}  // namespace awc

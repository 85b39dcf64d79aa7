// The likeliest way through states that are in order, as `align/best_way.py` finds it, bit for bit.
#pragma once

#include <cstdint>

namespace awc {

// What is asked of awc_best_way, whose names these are. Frames T, columns C, states S.
struct Ways {
  const float* sounds;    // [T][C]
  int T, C;
  const int32_t* column;  // [S], 0 .. C - 1
  int S;
  const float *paid, *entry;  // [S + 1], [S]
};

// path[T], and how likely it is. Throws std::bad_alloc.
float best_way(const Ways& ways, int32_t* path);

}  // namespace awc

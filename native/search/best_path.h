// The likeliest path through states that are in order, as `align/best_path.py` finds it, bit for bit.
#pragma once

#include <cstdint>

namespace awc {

// What is asked of awc_best_path, whose names these are. Frames T, columns C, states S.
struct Trellis {
  const float* sounds;    // [T][C]
  int T, C;
  const int32_t* column;  // [S], 0 .. C - 1
  int S;
  const float *paid, *entry;  // [S + 1], [S]
};

// path[T], and how likely it is. Throws std::bad_alloc.
float best_path(const Trellis& trellis, int32_t* path);

}  // namespace awc

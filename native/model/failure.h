// What goes wrong, inside the library: caught at the C face and told as an awc_status with a line of text.
#pragma once

#include <atomic>
#include <stdexcept>
#include <string>

#include "../include/autorag_whisper_cpu.h"

namespace awc {

struct Failure : std::runtime_error {
  Failure(awc_status status, const std::string& message) : std::runtime_error(message), status(status) {}
  awc_status status;
};

inline void require(bool good, const std::string& message) {
  if (!good) throw Failure(AWC_INVALID_ARGUMENT, message);
}

// The caller's flag, which another thread may set at any time.
class Cancellation {
 public:
  explicit Cancellation(const int32_t* flag) : flag_(flag) {}
  void check() const {
    if (flag_ && __atomic_load_n(flag_, __ATOMIC_RELAXED) != 0) throw Failure(AWC_CANCELLED, "was cancelled");
  }

 private:
  const int32_t* flag_;
};

}  // namespace awc

// The choice of a table, and the memory of all of them. Compiled for the baseline, as everything but the tables is.
#include <cstring>
#include <new>

#include "cpu_features.h"
#include "kernels.h"

namespace awc {

// One for each file of this folder that CMakeLists.txt builds with flags of its own.
#if defined(__x86_64__) || defined(_M_X64)
extern const Kernels kAvx2, kAvxVnni, kAvx512Vnni, kAvx512Bf16;
#elif defined(__aarch64__)
extern const Kernels kNeonDotprod;
#endif

void* Buffer::reserve(size_t bytes) {
  bytes = (bytes + 64 + 63) / 64 * 64;  // a vector may be read past the last value
  if (bytes > bytes_) {
    release();
    data_ = ::operator new(bytes, std::align_val_t{64});
    bytes_ = bytes;
  }
  return data_;
}

void Buffer::release() {
  if (data_) ::operator delete(data_, std::align_val_t{64});
  data_ = nullptr, bytes_ = 0;
}

namespace {

struct Choice {
  const Kernels* table;
  bool runs;
};

}  // namespace

const Kernels* kernels_for(const char* name) {
  static const Features here = features_here();
  const Choice choices[] = {  // best first
#if defined(__x86_64__) || defined(_M_X64)
      {&kAvx512Bf16, here.avx512_bf16},
      {&kAvx512Vnni, here.avx512_vnni},
      {&kAvxVnni, here.avx_vnni},
      {&kAvx2, here.avx2},
#elif defined(__aarch64__)
      {&kNeonDotprod, here.neon_dotprod},
#endif
      {&kScalar, true},
  };
  const bool any = name == nullptr || *name == '\0';
  for (const Choice& choice : choices) {
    if (choice.runs && (any || std::strcmp(name, choice.table->name) == 0)) return choice.table;
  }
  return nullptr;
}

}  // namespace awc

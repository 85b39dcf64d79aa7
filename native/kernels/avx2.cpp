#include "vec_avx2.h"
//
#include "simd_kernels.h"

namespace awc {
extern const Kernels kAvx2;
const Kernels kAvx2 = table("avx2");
}  // namespace awc

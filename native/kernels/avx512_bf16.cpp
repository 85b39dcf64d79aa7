#include "vec_avx512.h"
//
#include "simd_kernels.h"

namespace awc {
extern const Kernels kAvx512Bf16;
const Kernels kAvx512Bf16 = table("avx512_bf16");
}  // namespace awc

#include "vec_avx512.h"
//
#include "simd_kernels.h"

namespace awc {
extern const Kernels kAvx512Vnni;
const Kernels kAvx512Vnni = table("avx512_vnni");
}  // namespace awc

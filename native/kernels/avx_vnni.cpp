#include "vec_avx2.h"
//
#include "simd_kernels.h"

namespace awc {
extern const Kernels kAvxVnni;
const Kernels kAvxVnni = table("avx_vnni");
}  // namespace awc

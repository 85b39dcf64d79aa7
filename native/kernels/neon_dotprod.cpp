#include "vec_neon.h"
//
#include "simd_kernels.h"

namespace awc {
extern const Kernels kNeonDotprod;
const Kernels kNeonDotprod = table("neon_dotprod");
}  // namespace awc

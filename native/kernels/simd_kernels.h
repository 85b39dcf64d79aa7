// Every kernel for the lanes and products of the vec_*.h that was included before, as a table.
#pragma once

#include "simd_attention.h"
#ifdef AWC_INT16_PRODUCT
#include "simd_encoder_int16.h"
#else
#include "simd_encoder_float.h"
#endif
#include "simd_functions.h"
#include "simd_products.h"

namespace awc {
namespace {

constexpr Kernels table(const char* name) {
  return {name,        layer_norm, quantize,          to_bfloat16,      linear_bytes, linear_pack,
          linear,      linear_row, project,           convolution_bytes, convolution_pack, convolution,
          encoder_attention, self_attention, cross_bytes, cross_pack, cross_attention, cross_scores};
}

}  // namespace
}  // namespace awc

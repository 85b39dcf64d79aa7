#include "decoder.h"

#include <algorithm>

namespace awc {
namespace {

// The state of some rows on their way through the layers.
struct Pass {
  const Model& model;
  Workspace& work;
  const Cache& cache;
  const Row* rows;
  int R;
  float* x;  // [R][D], what the layers add to
  float* y;  // [R][D]
  float* wide;  // [R][4 D]
  std::vector<uint16_t*> slots;              // the slots of all rows, one row after another
  std::vector<const uint16_t*> keys, values;  // of one row in one layer

  const Kernels& kernels() const { return *model.kernels; }
  int D() const { return model.shape.width; }
};

// x[r] = embedding of its token + its position
void embed(Pass& pass) {
  const int D = pass.D();
  const Linear& vocabulary = pass.model.vocabulary;
  for (int r = 0; r < pass.R; ++r) {
    float* x = pass.x + static_cast<size_t>(r) * D;
    pass.kernels().linear_row(vocabulary.packed.data(), vocabulary.N, vocabulary.K, pass.rows[r].token, x);
    const float* position = pass.model.decoder_positions.data() + static_cast<size_t>(pass.rows[r].position) * D;
    for (int d = 0; d < D; ++d) x[d] += position[d];
  }
}

// to[R][N] (then) = W norm(x)
void norm_and_multiply(Pass& pass, const Norm& norm, const Linear& linear, Then then, float* to) {
  const int D = pass.D();
  const QuantizedRows rows = pass.work.quantized(pass.R, D);
  normalize(pass.kernels(), norm, pass.x, pass.R, D, pass.y);
  pass.kernels().quantize(pass.y, pass.R, D, D, rows);
  multiply(pass.kernels(), linear, rows, pass.R, then, to);
}

// x += W from, from[R][K]
void multiply_and_add(Pass& pass, const Linear& linear, const float* from) {
  const QuantizedRows rows = pass.work.quantized(pass.R, linear.K);
  pass.kernels().quantize(from, pass.R, linear.K, linear.K, rows);
  multiply(pass.kernels(), linear, rows, pass.R, Then::kAdd, pass.x);
}

void self_attention(Pass& pass, const DecoderLayer& layer, int n) {
  const int D = pass.D();
  const size_t width = static_cast<size_t>(D), keys_at = pass.cache.keys_at(n), values_at = pass.cache.values_at(n);
  norm_and_multiply(pass, layer.self_norm, layer.qkv, Then::kStore, pass.wide);
  uint16_t* const* slots = pass.slots.data();
  for (int r = 0; r < pass.R; slots += pass.rows[r++].count) {  // all rows write before any reads
    const float* qkv = pass.wide + static_cast<size_t>(r) * 3 * width;
    uint16_t* own = slots[pass.rows[r].count - 1];
    pass.kernels().to_bfloat16(qkv + width, width, own + keys_at);
    pass.kernels().to_bfloat16(qkv + 2 * width, width, own + values_at);
  }
  slots = pass.slots.data();
  for (int r = 0; r < pass.R; slots += pass.rows[r++].count) {
    const int count = pass.rows[r].count;
    for (int j = 0; j < count; ++j) pass.keys[j] = slots[j] + keys_at, pass.values[j] = slots[j] + values_at;
    pass.kernels().self_attention(pass.wide + static_cast<size_t>(r) * 3 * width, pass.keys.data(), pass.values.data(),
                                  count, pass.model.shape.heads, pass.y + static_cast<size_t>(r) * width,
                                  pass.work.scratch);
  }
  multiply_and_add(pass, layer.self_output, pass.y);
}

// `wanted` may be nullptr; `first` is the first of these rows among all of the call
void tell_scores(Pass& pass, int n, const float* queries, int first, const HeadScores* wanted) {
  if (!wanted) return;
  for (const HeadScores::Head& head : wanted->heads) {
    if (head.layer != n) continue;
    for (int r = 0; r < pass.R; ++r) {
      const Audio& audio = *pass.rows[r].audio;
      pass.kernels().cross_scores(audio.layer(n), audio.T, pass.model.shape.heads, head.head,
                                  queries + static_cast<size_t>(r) * pass.D(), 1, wanted->frames,
                                  head.scores + static_cast<size_t>(first + r) * wanted->frames, pass.work.scratch);
    }
  }
}

void cross_attention(Pass& pass, const DecoderLayer& layer, int n, int first, const HeadScores* wanted) {
  const size_t width = static_cast<size_t>(pass.D());
  float* queries = pass.wide;
  norm_and_multiply(pass, layer.cross_norm, layer.cross_query, Then::kStore, queries);
  tell_scores(pass, n, queries, first, wanted);
  if (wanted && wanted->last_layer == n) return;
  for (int r = 0; r < pass.R;) {
    const Audio* audio = pass.rows[r].audio;
    int end = r + 1;
    while (end < pass.R && pass.rows[end].audio == audio) ++end;
    pass.kernels().cross_attention(audio->layer(n), audio->T, pass.model.shape.heads, queries + r * width, end - r,
                                   pass.y + r * width, pass.work.scratch);
    r = end;
  }
  multiply_and_add(pass, layer.cross_output, pass.y);
}

void feed_forward(Pass& pass, const DecoderLayer& layer) {
  norm_and_multiply(pass, layer.ffn_norm, layer.ffn_in, Then::kGelu, pass.wide);
  multiply_and_add(pass, layer.ffn_out, pass.wide);
}

Pass pass_of(const Model& model, Workspace& work, const Cache& cache, const Row* rows, int R) {
  const size_t D = static_cast<size_t>(model.shape.width), count = static_cast<size_t>(R);
  Pass pass{model, work, cache, rows, R, work.x.get<float>(count * D), work.y.get<float>(count * D),
            work.wide.get<float>(count * 4 * D), {}, {}, {}};
  size_t longest = 0;
  for (int r = 0; r < R; ++r) {
    for (int j = 0; j < rows[r].count; ++j) pass.slots.push_back(cache.slot(rows[r].slots[j]));
    longest = std::max(longest, static_cast<size_t>(rows[r].count));
  }
  pass.keys.resize(longest), pass.values.resize(longest);
  return pass;
}

void decode_some(Pass& pass, int first, const Cancellation& cancellation, float* hidden, const HeadScores* wanted) {
  embed(pass);
  for (int n = 0; n < pass.model.shape.decoder_layers; ++n) {
    const DecoderLayer& layer = pass.model.decoder[static_cast<size_t>(n)];
    if (n % 8 == 0) cancellation.check();
    self_attention(pass, layer, n);
    cross_attention(pass, layer, n, first, wanted);
    if (wanted && wanted->last_layer == n) return;
    feed_forward(pass, layer);
  }
  if (hidden) {
    normalize(pass.kernels(), pass.model.decoder_norm, pass.x, pass.R, pass.D(), hidden + static_cast<size_t>(first) * pass.D());
  }
}

}  // namespace

void decode(const Model& model, Workspace& work, const Cache& cache, const std::vector<Row>& rows,
            const Cancellation& cancellation, float* hidden, HeadScores* scores) {
  const int count = static_cast<int>(rows.size());
  for (int first = 0; first < count; first += kDecoderRows) {
    Pass pass = pass_of(model, work, cache, rows.data() + first, std::min(kDecoderRows, count - first));
    decode_some(pass, first, cancellation, hidden, scores);
  }
}

}  // namespace awc

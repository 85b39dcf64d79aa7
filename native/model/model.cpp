#include "model.h"

#include "failure.h"

namespace awc {
namespace {

constexpr int kFfn = 4;  // the feed-forward layer is four times as wide as the model

[[noreturn]] void bad(const std::string& what) { throw Failure(AWC_BAD_WEIGHTS, what); }

awc_shape shape_of(const Weights& weights) {
  const std::vector<int64_t> convolution = weights.shape("encoder/conv1/weight", 3);  // [D, mels, 3]
  const std::vector<int64_t> embeddings = weights.shape("decoder/embeddings/weight", 2);  // [V, D]
  const std::vector<int64_t> frames = weights.shape("encoder/position_encodings/encodings", 2);
  const std::vector<int64_t> context = weights.shape("decoder/position_encodings/encodings", 2);
  const int64_t D = convolution[0];
  const auto within = [](int64_t value, int64_t most) { return value >= 1 && value <= most; };
  if (!within(D, 8192) || D % kHeadWidth) bad("the width " + std::to_string(D) + " is none of Whisper's");
  if (!within(convolution[1], 1024) || convolution[1] % 16 || !within(embeddings[0], 1 << 20) || !within(frames[0], 1500) ||
      !within(context[0], AWC_CONTEXT)) {
    bad("the numbers of mels, tokens or positions are none of Whisper's");
  }
  awc_shape shape{};
  shape.mels = static_cast<int32_t>(convolution[1]);
  shape.width = static_cast<int32_t>(D);
  shape.heads = static_cast<int32_t>(D / kHeadWidth);
  shape.encoder_layers = weights.layers("encoder");
  shape.decoder_layers = weights.layers("decoder");
  shape.vocabulary = static_cast<int32_t>(embeddings[0]);
  shape.max_frames = static_cast<int32_t>(frames[0]);
  shape.context = static_cast<int32_t>(context[0]);
  if (!shape.encoder_layers || !shape.decoder_layers) bad("the encoder or the decoder has no layers");
  return shape;
}

void check_tokens(const awc_tokens& tokens, int vocabulary) {
  const auto known = [&](int32_t token) { return token >= 0 && token < vocabulary; };
  require(known(tokens.start_of_transcript) && known(tokens.end_of_text) && known(tokens.no_speech) &&
              known(tokens.no_timestamps) && tokens.start_of_transcript > tokens.end_of_text &&
              tokens.no_timestamps > tokens.start_of_transcript,
          "the special tokens do not belong to this vocabulary");
}

// Reads and packs the parts of a model.
class Packer {
 public:
  Packer(const Weights& weights, const Kernels& kernels, int D) : weights_(weights), kernels_(kernels), D_(D) {}

  Norm norm(const std::string& name) const {
    return {weights_.floats(name + "/gamma", {D_}), weights_.floats(name + "/beta", {D_})};
  }

  Linear linear(const std::string& name, int64_t N, int64_t K, bool biased = true) const {
    const Quantized W = weights_.quantized(name + "/weight", N, K);
    std::vector<float> bias;
    if (biased) bias = weights_.floats(name + "/bias", {N});
    Linear result{static_cast<int>(N), static_cast<int>(K), {}};
    kernels_.linear_pack(W.values, W.factors.data(), bias.empty() ? nullptr : bias.data(), result.N, result.K,
                         result.packed.get<char>(kernels_.linear_bytes(result.N, result.K)));
    return result;
  }

  Convolution convolution(const std::string& name, int64_t C) const {
    const std::vector<float> W = weights_.floats(name + "/weight", {D_, C, 3});
    const std::vector<float> bias = weights_.floats(name + "/bias", {D_});
    Convolution result{static_cast<int>(D_), static_cast<int>(C), {}};
    kernels_.convolution_pack(W.data(), bias.data(), result.N, result.C,
                              result.packed.get<char>(kernels_.convolution_bytes(result.N, result.C)));
    return result;
  }

  EncoderLayer encoder_layer(const std::string& name) const {
    return {norm(name + "self_attention/layer_norm"),
            norm(name + "ffn/layer_norm"),
            linear(name + "self_attention/linear_0", 3 * D_, D_),
            linear(name + "self_attention/linear_1", D_, D_),
            linear(name + "ffn/linear_0", kFfn * D_, D_),
            linear(name + "ffn/linear_1", D_, kFfn * D_)};
  }

  DecoderLayer decoder_layer(const std::string& name) const {
    return {norm(name + "self_attention/layer_norm"),
            norm(name + "attention/layer_norm"),
            norm(name + "ffn/layer_norm"),
            linear(name + "self_attention/linear_0", 3 * D_, D_),
            linear(name + "self_attention/linear_1", D_, D_),
            linear(name + "attention/linear_0", D_, D_),
            linear(name + "attention/linear_1", 2 * D_, D_),
            linear(name + "attention/linear_2", D_, D_),
            linear(name + "ffn/linear_0", kFfn * D_, D_),
            linear(name + "ffn/linear_1", D_, kFfn * D_)};
  }

 private:
  const Weights& weights_;
  const Kernels& kernels_;
  int64_t D_;
};

}  // namespace

std::unique_ptr<Model> load(const Weights& weights, const awc_tokens& tokens, const Kernels* kernels) {
  auto model = std::make_unique<Model>();
  model->kernels = kernels;
  model->shape = shape_of(weights);
  model->tokens = tokens;
  const awc_shape& shape = model->shape;
  check_tokens(tokens, shape.vocabulary);
  const Packer packer(weights, *kernels, shape.width);
  model->convolution1 = packer.convolution("encoder/conv1", shape.mels);
  model->convolution2 = packer.convolution("encoder/conv2", shape.width);
  model->encoder_positions = weights.floats("encoder/position_encodings/encodings", {shape.max_frames, shape.width});
  model->decoder_positions = weights.floats("decoder/position_encodings/encodings", {shape.context, shape.width});
  for (int n = 0; n < shape.encoder_layers; ++n) {
    model->encoder.push_back(packer.encoder_layer("encoder/layer_" + std::to_string(n) + "/"));
  }
  for (int n = 0; n < shape.decoder_layers; ++n) {
    model->decoder.push_back(packer.decoder_layer("decoder/layer_" + std::to_string(n) + "/"));
  }
  model->encoder_norm = packer.norm("encoder/layer_norm");
  model->decoder_norm = packer.norm("decoder/layer_norm");
  model->vocabulary = packer.linear("decoder/embeddings", shape.vocabulary, shape.width, false);
  return model;
}

size_t packed_bytes(const awc_shape& shape, const Kernels& kernels) {
  const int D = shape.width;
  const size_t wide = static_cast<size_t>(D);
  const auto linear = [&](int N, int K) { return kernels.linear_bytes(N, K); };
  const size_t ffn = linear(kFfn * D, D) + linear(D, kFfn * D);
  const size_t attention = linear(3 * D, D) + linear(D, D);
  const size_t cross = linear(D, D) + linear(2 * D, D) + linear(D, D);
  const size_t encoder = attention + ffn + 4 * wide * sizeof(float);
  const size_t decoder = attention + cross + ffn + 6 * wide * sizeof(float);
  return kernels.convolution_bytes(D, shape.mels) + kernels.convolution_bytes(D, D) +
         static_cast<size_t>(shape.encoder_layers) * encoder + static_cast<size_t>(shape.decoder_layers) * decoder +
         linear(shape.vocabulary, D) +
         (static_cast<size_t>(shape.max_frames) + static_cast<size_t>(shape.context) + 4) * wide * sizeof(float);
}

size_t Model::packed_bytes() const { return awc::packed_bytes(shape, *kernels); }

QuantizedRows Workspace::quantized(int R, int K) {
  const size_t rows = static_cast<size_t>(R);
  return {values.get<int8_t>(rows * static_cast<size_t>(K)), scales.get<float>(rows), sums.get<int32_t>(rows)};
}

size_t Workspace::bytes() const {
  size_t sum = scratch.bytes();
  for (const Buffer* one : {&x, &y, &wide, &ffn, &logits, &frames, &values, &scales, &sums}) sum += one->bytes();
  return sum;
}

std::shared_ptr<Workspace> Model::workspace() {
  std::unique_ptr<Workspace> one;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    kept_.reserve(kept_.size() + 64);  // giving back must not fail
    if (!kept_.empty()) one = std::move(kept_.back()), kept_.pop_back();
  }
  if (!one) one = std::make_unique<Workspace>();
  return {one.release(), [this](Workspace* back) {
            std::unique_ptr<Workspace> owned(back);
            const std::lock_guard<std::mutex> lock(mutex_);
            if (kept_.size() < kept_.capacity()) kept_.push_back(std::move(owned));
          }};
}

void Model::trim() {
  const std::lock_guard<std::mutex> lock(mutex_);
  kept_.clear();
}

size_t Model::kept_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  size_t sum = 0;
  for (const auto& one : kept_) sum += one->bytes();
  return sum;
}

}  // namespace awc

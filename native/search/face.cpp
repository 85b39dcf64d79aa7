// The C face: arguments are checked here, and every exception becomes an awc_status.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

#include "../include/autorag_whisper_cpu.h"
#include "../model/audio.h"
#include "../model/cache.h"
#include "../model/decoder.h"
#include "../model/encoder.h"
#include "../model/failure.h"
#include "../model/letters.h"
#include "../model/model.h"
#include "alignment.h"
#include "best_path.h"
#include "request.h"
#include "search.h"

struct awc_model {
  std::unique_ptr<awc::Model> model;
};

struct awc_letters {
  std::unique_ptr<awc::Letters> letters;
};

namespace {

constexpr int32_t kMost = 1 << 20;  // frames and states of a path: its table has a size

using awc::Failure;
using awc::require;

void tell(awc_error* error, const char* message) {
  if (!error) return;
  std::strncpy(error->message, message, AWC_MESSAGE - 1);
  error->message[AWC_MESSAGE - 1] = 0;
}

// Calls `work`, and tells what it throws.
template <class Work>
awc_status guarded(awc_error* error, Work work) noexcept {
  try {
    work();
    tell(error, "");
    return AWC_OK;
  } catch (const Failure& failure) {
    tell(error, failure.what());
    return failure.status;
  } catch (const std::bad_alloc&) {
    tell(error, "there is not enough memory");
    return AWC_OUT_OF_MEMORY;
  } catch (const std::length_error&) {
    tell(error, "there is not enough memory");
    return AWC_OUT_OF_MEMORY;
  } catch (const std::exception& failure) {
    tell(error, failure.what());
    return AWC_INTERNAL;
  } catch (...) {
    tell(error, "an unknown exception");
    return AWC_INTERNAL;
  }
}

const awc::Kernels& kernels_of(const char* name) {
  const awc::Kernels* kernels = awc::kernels_for(name && *name ? name : nullptr);
  if (!kernels) throw Failure(AWC_UNSUPPORTED, std::string("this processor or build has no instruction set ") + (name ? name : ""));
  return *kernels;
}

void check_audios(const awc_model* model, const awc_audio* const* audios, int32_t rows) {
  require(model && audios && rows >= 1, "a model and an audio for every row");
  for (int32_t row = 0; row < rows; ++row) require(audios[row] && audios[row]->model == model, "audios of this model");
}

void check_tokens(const awc_model* model, const int32_t* tokens, int32_t count, const char* what) {
  require(tokens && count >= 1, what);
  for (int32_t n = 0; n < count; ++n) {
    require(tokens[n] >= 0 && tokens[n] < model->model->shape.vocabulary, "a token is none of the vocabulary");
  }
}

int window(const awc::Model& model, int mel_frames) {
  require(mel_frames >= 2 && mel_frames % 2 == 0 && mel_frames / 2 <= model.shape.max_frames, "an even number of mel frames, 2 to 3000");
  return mel_frames;
}

// What follows the start of transcript of each audio: probabilities[rows][count]
void first_token(awc::Model& model, const awc_audio* const* audios, int rows, const int32_t* tokens, int count,
                 const awc::Cancellation& cancellation, float* probabilities) {
  const size_t D = static_cast<size_t>(model.shape.width);
  const auto work = model.workspace();
  awc::Cache cache(model.shape.decoder_layers, model.shape.width);
  std::vector<int> slots;
  std::vector<awc::Row> passing;
  for (int row = 0; row < rows; ++row) slots.push_back(cache.take());
  for (int row = 0; row < rows; ++row) {
    passing.push_back({model.tokens.start_of_transcript, 0, &slots[static_cast<size_t>(row)], 1, audios[row]->audio.get()});
  }
  std::vector<float> hidden(static_cast<size_t>(rows) * D);
  awc::decode(model, *work, cache, passing, cancellation, hidden.data());
  const auto [least, most] = std::minmax_element(tokens, tokens + count);
  const int first = *least / 32 * 32, last = *most + 1;
  std::vector<float> logits(static_cast<size_t>(last - first));
  for (int row = 0; row < rows; ++row, probabilities += count) {
    const awc::QuantizedRows one = work->quantized(1, model.shape.width);
    model.kernels->quantize(hidden.data() + static_cast<size_t>(row) * D, 1, model.shape.width, model.shape.width, one);
    model.kernels->linear(one, 1, model.vocabulary.packed.data(), model.vocabulary.N, model.vocabulary.K, first, last,
                          awc::Then::kStore, logits.data(), last - first);
    float top = logits[static_cast<size_t>(tokens[0] - first)], sum = 0;
    for (int n = 0; n < count; ++n) top = std::max(top, logits[static_cast<size_t>(tokens[n] - first)]);
    for (int n = 0; n < count; ++n) sum += probabilities[n] = std::exp(logits[static_cast<size_t>(tokens[n] - first)] - top);
    for (int n = 0; n < count; ++n) probabilities[n] /= sum;
  }
}

template <class T, class U>
void put(T* to, int row, const U& value) {
  if (to) to[row] = static_cast<T>(value);
}

template <class T>
void put_all(T* to, int row, int capacity, const std::vector<T>& values) {
  if (to) std::copy(values.begin(), values.end(), to + static_cast<size_t>(row) * static_cast<size_t>(capacity));
}

void write(const std::vector<awc::Text>& found, const std::vector<float>& no_speech, awc_texts& texts) {
  for (size_t n = 0; n < found.size(); ++n) {
    const awc::Text& text = found[n];
    const int row = static_cast<int>(n);
    put(texts.lengths, row, text.tokens.size());
    put(texts.totals, row, text.total);
    put(texts.scores, row, text.score);
    put(texts.finished, row, text.finished);
    put(texts.no_speech, row, no_speech[n]);
    put_all(texts.tokens, row, texts.capacity, text.tokens);
    put_all(texts.log_probabilities, row, texts.capacity, text.log_probabilities);
    put_all(texts.text_probabilities, row, texts.capacity, text.text_probabilities);
  }
}

}  // namespace

extern "C" {

int32_t awc_abi(void) { return AWC_ABI; }

const char* awc_instruction_set(const char* name) {
  const awc::Kernels* kernels = awc::kernels_for(name && *name ? name : nullptr);
  return kernels ? kernels->name : nullptr;
}

awc_status awc_model_new(const awc_tensor* tensors, size_t count, const awc_tokens* tokens, const char* instruction_set,
                         awc_model** model, awc_error* error) {
  if (model) *model = nullptr;
  return guarded(error, [&] {
    require(model && tokens, "tokens, and a place for the model");
    const awc::Kernels& kernels = kernels_of(instruction_set);
    auto made = std::make_unique<awc_model>();
    made->model = awc::load(awc::Weights(tensors, count), *tokens, &kernels);
    *model = made.release();
  });
}

void awc_model_free(awc_model* model) { delete model; }

void awc_model_shape(const awc_model* model, awc_shape* shape) {
  if (model && shape) *shape = model->model->shape;
}

const char* awc_model_instruction_set(const awc_model* model) { return model ? model->model->kernels->name : nullptr; }

size_t awc_model_bytes_for(const awc_shape* shape) {
  const awc::Kernels* kernels = awc::kernels_for(nullptr);
  return shape && kernels ? awc::packed_bytes(*shape, *kernels) : 0;
}

size_t awc_model_bytes(const awc_model* model) { return model ? model->model->packed_bytes() + model->model->kept_bytes() : 0; }

size_t awc_audio_bytes(const awc_model* model, int32_t frames) { return model && frames > 0 ? awc::audio_bytes(*model->model, frames) : 0; }

size_t awc_encode_bytes(const awc_model* model, int32_t mel_frames) {
  return model && mel_frames > 0 ? awc::encode_bytes(*model->model, mel_frames) : 0;
}

size_t awc_generate_bytes(const awc_model* model, int32_t rows, int32_t hypotheses, int32_t prompt_tokens, int32_t new_tokens) {
  if (!model || rows < 1 || hypotheses < 1 || prompt_tokens < 0 || new_tokens < 0) return 0;
  return awc::generate_bytes(*model->model, rows, hypotheses, prompt_tokens, new_tokens);
}

void awc_model_trim(awc_model* model) {
  if (model) model->model->trim();
}

awc_status awc_encode(awc_model* model, const float* mel, int32_t mel_frames, const int32_t* cancel, float* output,
                      awc_error* error) {
  return guarded(error, [&] {
    require(model && mel && output, "a model, a spectrum, and a place for the output");
    awc::encode(*model->model, mel, window(*model->model, mel_frames), awc::Cancellation(cancel), output);
  });
}

awc_status awc_audio_new(awc_model* model, const float* encoded, int32_t frames, const int32_t* cancel, awc_audio** audio,
                         awc_error* error) {
  if (audio) *audio = nullptr;
  return guarded(error, [&] {
    require(model && encoded && audio, "a model, encoded frames, and a place for the audio");
    require(frames >= 1 && frames <= model->model->shape.max_frames, "1 to 1500 frames");
    auto made = std::make_unique<awc_audio>();
    made->model = model;
    made->audio = awc::make_audio(*model->model, encoded, frames, awc::Cancellation(cancel));
    *audio = made.release();
  });
}

void awc_audio_free(awc_audio* audio) { delete audio; }

awc_status awc_first_token_probabilities(awc_model* model, const awc_audio* const* audios, int32_t rows, const int32_t* tokens,
                                         int32_t count, const int32_t* cancel, float* probabilities, awc_error* error) {
  return guarded(error, [&] {
    check_audios(model, audios, rows);
    check_tokens(model, tokens, count, "tokens");
    require(probabilities, "a place for the probabilities");
    first_token(*model->model, audios, rows, tokens, count, awc::Cancellation(cancel), probabilities);
  });
}

awc_status awc_generate(awc_model* model, const awc_audio* const* audios, int32_t rows, const int32_t* prompts,
                        const int32_t* prompt_lengths, const awc_search* search, const int32_t* cancel, awc_texts* texts,
                        awc_error* error) {
  return guarded(error, [&] {
    check_audios(model, audios, rows);
    require(prompts && prompt_lengths && search && texts && texts->tokens && texts->lengths, "prompts, a search, and places for the texts");
    const awc::Search checked(*search, *model->model);
    require(texts->capacity >= search->max_new_tokens, "room for all new tokens");
    std::vector<awc::Task> tasks = awc::tasks_of(*model->model, audios, rows, prompts, prompt_lengths, *search);
    std::vector<float> no_speech;
    write(awc::generate(*model->model, tasks, checked, awc::Cancellation(cancel), no_speech), no_speech, *texts);
  });
}

awc_status awc_align(awc_model* model, const awc_audio* audio, const int32_t* start, int32_t start_count, const int32_t* text,
                     int32_t text_count, int32_t frames, const int32_t* heads, int32_t head_count, int32_t median_filter,
                     const int32_t* cancel, int32_t* starts, float* probabilities, awc_error* error) {
  return guarded(error, [&] {
    check_audios(model, &audio, 1);
    const awc_shape& shape = model->model->shape;
    check_tokens(model, start, start_count, "a start sequence");
    check_tokens(model, text, text_count, "a text");
    require(start_count + text_count + 2 <= shape.context, "at most 448 tokens, the two that are put in included");
    require(frames >= 1 && frames <= audio->audio->T, "frames that the audio has");
    require(median_filter >= 1 && median_filter % 2 == 1 && median_filter <= 101, "an odd median filter, 1 to 101");
    require(heads && head_count >= 1 && head_count <= shape.heads * shape.decoder_layers && starts, "heads, and a place for the starts");
    awc::Alignment wanted{{start, start + start_count}, {text, text + text_count}, {}, frames, median_filter};
    for (int32_t n = 0; n < head_count; ++n) {
      const int32_t layer = heads[2 * n], head = heads[2 * n + 1];
      require(layer >= 0 && layer < shape.decoder_layers && head >= 0 && head < shape.heads, "heads that the decoder has");
      wanted.heads.emplace_back(layer, head);
    }
    awc::align(*model->model, *audio->audio, wanted, awc::Cancellation(cancel), starts, probabilities);
  });
}

awc_status awc_forced_logits(awc_model* model, const awc_audio* audio, const int32_t* tokens, int32_t count,
                             const int32_t* cancel, float* logits, awc_error* error) {
  return guarded(error, [&] {
    check_audios(model, &audio, 1);
    check_tokens(model, tokens, count, "tokens");
    require(count <= model->model->shape.context && logits, "1 to 448 tokens, and a place for the logits");
    awc::Model& inner = *model->model;
    const int D = inner.shape.width;
    const auto work = inner.workspace();
    std::vector<float> hidden(static_cast<size_t>(count) * static_cast<size_t>(D));
    awc::force(inner, *work, *audio->audio, {tokens, tokens + count}, awc::Cancellation(cancel), hidden.data(), nullptr);
    const awc::QuantizedRows rows = work->quantized(count, D);
    inner.kernels->quantize(hidden.data(), count, D, D, rows);
    awc::multiply(*inner.kernels, inner.vocabulary, rows, count, awc::Then::kStore, logits);
  });
}

awc_status awc_letters_new(const awc_tensor* tensors, size_t count, const char* instruction_set, awc_letters** letters,
                           awc_error* error) {
  if (letters) *letters = nullptr;
  return guarded(error, [&] {
    require(letters, "a place for the classifier");
    const awc::Kernels& kernels = kernels_of(instruction_set);
    auto made = std::make_unique<awc_letters>();
    made->letters = awc::load_letters(awc::Weights(tensors, count), &kernels);
    *letters = made.release();
  });
}

void awc_letters_free(awc_letters* letters) { delete letters; }

awc_status awc_letters_hear(const awc_letters* letters, const float* encoded, int32_t frames, float* log_probabilities,
                            awc_error* error) {
  return guarded(error, [&] {
    require(letters && encoded && log_probabilities, "a classifier, encoded frames, and a place for what is heard");
    require(frames >= 1, "a frame at least");
    awc::hear(*letters->letters, encoded, frames, log_probabilities);
  });
}

awc_status awc_best_path(const float* sounds, int32_t frames, int32_t columns, const int32_t* column, int32_t states,
                        const float* paid, const float* entry, int32_t* path, float* likelihood, awc_error* error) {
  return guarded(error, [&] {
    require(sounds && column && paid && entry && path && likelihood, "sounds, states with prices, and places for the path");
    require(frames >= 1 && frames <= kMost && states >= 1 && states <= kMost && columns >= 1, "1 to a million frames and states");
    require(std::all_of(column, column + states, [&](int32_t one) { return one >= 0 && one < columns; }), "sounds that are there");
    *likelihood = awc::best_path({sounds, frames, columns, column, states, paid, entry}, path);
  });
}

}  // extern "C"

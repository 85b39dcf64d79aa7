// From prompts to texts. Both searches are CTranslate2's, with the same ends, scores and ties by probability.
#pragma once

#include <vector>

#include "../model/failure.h"
#include "request.h"

namespace awc {

// The tokens of every prompt but the last go through the decoder into the cache, `Task::slots`.
// no_speech[tasks]: the probability of the no-speech token after the start of transcript.
void read_prompts(const Model& model, Workspace& work, class Cache& cache, std::vector<Task>& tasks,
                  const Cancellation& cancellation, std::vector<float>& no_speech);

// BeamSearch::search: 2 x beam candidates, finished texts give their place to the next candidate.
std::vector<Text> beam_search(const Model& model, Workspace& work, class Cache& cache, const std::vector<Task>& tasks,
                              const Search& search, const Cancellation& cancellation);

// GreedySearch::search: the most likely token, or with a temperature the best of some sampled texts.
std::vector<Text> greedy_search(const Model& model, Workspace& work, class Cache& cache, const std::vector<Task>& tasks,
                                const Search& search, const Cancellation& cancellation);

// All of awc_generate; no_speech[tasks]. Throws Failure, std::bad_alloc.
std::vector<Text> generate(Model& model, std::vector<Task>& tasks, const Search& search, const Cancellation& cancellation,
                           std::vector<float>& no_speech);

// Most bytes that `generate` takes.
size_t generate_bytes(const Model& model, int rows, int hypotheses, int prompt_tokens, int new_tokens);

}  // namespace awc

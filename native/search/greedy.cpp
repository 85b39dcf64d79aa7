// Greedy search and sampling, as CTranslate2's GreedySearch::search.
#include <algorithm>

#include "../model/cache.h"
#include "candidates.h"
#include "search.h"

namespace awc {
namespace {

struct Line {
  const Task* task;
  size_t owner;   // which task it is
  int sample;     // which of the task's samples
  Text text;
  std::vector<int> slots;
  int next;
  bool over = false;
};

// 0 <= a random number < 1 that depends on these alone (SplitMix64 over their mix).
double random_number(uint64_t seed, uint64_t sample, uint64_t step) {
  uint64_t x = seed;
  for (const uint64_t part : {sample, step}) {
    x += 0x9e3779b97f4a7c15u * (part + 1);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
  }
  return static_cast<double>(x >> 11) * 0x1.0p-53;
}

class GreedySearch {
 public:
  GreedySearch(const Model& model, Workspace& work, Cache& cache, const Search& search)
      : model_(model), work_(work), cache_(cache), search_(search) {}

  std::vector<Text> run(const std::vector<Task>& tasks, const Cancellation& cancellation) {
    std::vector<Line> lines;
    const int samples = search_.sampling() ? search_.options.hypotheses : 1;
    for (size_t n = 0; n < tasks.size(); ++n) {
      for (int sample = 0; sample < samples; ++sample) {
        lines.push_back({&tasks[n], n, sample, begun(tasks[n]), tasks[n].slots, tasks[n].prompt.back()});
      }
    }
    for (int step = 0; std::any_of(lines.begin(), lines.end(), [](const Line& one) { return !one.over; }); ++step) {
      cancellation.check();
      advance(lines, step, cancellation);
    }
    std::vector<Text> best(tasks.size());
    for (Line& line : lines) {
      if (line.sample == 0 || line.text.score > best[line.owner].score) best[line.owner] = std::move(line.text);
    }
    return best;
  }

 private:
  void advance(std::vector<Line>& lines, int step, const Cancellation& cancellation) {
    std::vector<Row> rows;
    std::vector<const Text*> texts;
    std::vector<Line*> alive;
    for (Line& line : lines) {
      if (line.over) continue;
      line.slots.push_back(cache_.take());
      const int count = static_cast<int>(line.slots.size());
      rows.push_back({line.next, count - 1, line.slots.data(), count, line.task->audio});
      texts.push_back(&line.text);
      alive.push_back(&line);
    }
    float* hidden = hidden_.get<float>(rows.size() * static_cast<size_t>(model_.shape.width));
    decode(model_, work_, cache_, rows, cancellation, hidden);
    const std::vector<Candidate> chosen = choose(hidden, texts, alive, step);
    for (size_t n = 0; n < alive.size(); ++n) follow(*alive[n], chosen[n]);
  }

  std::vector<Candidate> choose(const float* hidden, const std::vector<const Text*>& texts, const std::vector<Line*>& alive,
                                int step) {
    Candidates candidates(model_, search_, work_);
    if (search_.sampling()) {
      std::vector<double> random;
      for (const Line* line : alive) {
        random.push_back(random_number(search_.options.seed, static_cast<uint64_t>(line->sample), static_cast<uint64_t>(step)));
      }
      return candidates.drawn(hidden, texts, step == 0, random);
    }
    std::vector<Candidate> chosen;
    for (const auto& row : candidates.best(hidden, texts, step == 0, 1)) chosen.push_back(row[0]);
    return chosen;
  }

  void follow(Line& line, const Candidate& next) {
    Text& text = line.text;
    text.total += next.log_probability;
    text.finished = next.token == model_.tokens.end_of_text;
    if (!text.finished) {
      text.tokens.push_back(next.token);
      text.log_probabilities.push_back(next.log_probability);
      text.text_probabilities.push_back(next.text_probability);
    }
    line.next = next.token;
    line.over = text.finished || static_cast<int>(text.tokens.size()) >= line.task->most;
    if (!line.over) return;
    text.score = search_.score(text.total, text.tokens.size());
    for (size_t n = line.task->slots.size(); n < line.slots.size(); ++n) cache_.give_back(line.slots[n]);
  }

  const Model& model_;
  Workspace& work_;
  Cache& cache_;
  const Search& search_;
  Buffer hidden_;
};

}  // namespace

std::vector<Text> greedy_search(const Model& model, Workspace& work, Cache& cache, const std::vector<Task>& tasks,
                                const Search& search, const Cancellation& cancellation) {
  return GreedySearch(model, work, cache, search).run(tasks, cancellation);
}

}  // namespace awc

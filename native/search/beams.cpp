// A beam search over a batch, as CTranslate2's BeamSearch::search. Where that gathers the states of beams that go on, here
// a beam is a list of slots in the cache, and nothing is moved.
#include <algorithm>
#include <cmath>

#include "../model/cache.h"
#include "candidates.h"
#include "search.h"

namespace awc {
namespace {

struct Beam {
  Text text;
  std::vector<int> slots;  // prompt and text, but for `next`
  int next;                // the token that goes through the decoder next
};

// One task's search.
struct Hunt {
  const Task* task;
  std::vector<Beam> beams;
  std::vector<Text> finished;
  bool top_finished = false;
  bool over = false;
};

// A way on: beam `from` followed by a token.
struct Way {
  float total;
  size_t from;
  Candidate next;
};

// The best 2 x beams ways of a task. `rows`: what may follow each of its beams.
std::vector<Way> ways_of(const Hunt& hunt, const std::vector<Candidate>* rows, size_t beams, bool first, int end_of_text) {
  std::vector<Way> ways;
  for (size_t n = 0; n < hunt.beams.size(); ++n) {
    for (const Candidate& one : rows[n]) ways.push_back({hunt.beams[n].text.total + one.log_probability, n, one});
  }
  const size_t told = std::min(ways.size(), 2 * beams);
  const auto better = [](const Way& a, const Way& b) {
    if (a.total != b.total) return a.total > b.total;
    return a.from != b.from ? a.from < b.from : a.next.token < b.next.token;
  };
  std::partial_sort(ways.begin(), ways.begin() + static_cast<std::ptrdiff_t>(told), ways.end(), better);
  ways.resize(told);
  // CTranslate2: straight after a prefix the text may end in the most likely way alone.
  for (size_t k = 1; k < ways.size() && first && hunt.task->prefix > 0; ++k) {
    if (ways[k].next.token == end_of_text) ways[k] = {-1e10f, 0, {0, -1e10f, 0.0f}};
  }
  return ways;
}

Text followed(const Text& text, const Way& way, bool written) {
  Text longer = text;
  longer.total = way.total;
  if (written) {
    longer.tokens.push_back(way.next.token);
    longer.log_probabilities.push_back(way.next.log_probability);
    longer.text_probabilities.push_back(way.next.text_probability);
  }
  return longer;
}

class BeamSearch {
 public:
  BeamSearch(const Model& model, Workspace& work, Cache& cache, const Search& search)
      : model_(model), work_(work), cache_(cache), search_(search), beams_(static_cast<size_t>(search.options.hypotheses)) {
    enough_ = std::max(1L, std::lround(static_cast<float>(search.options.hypotheses) * search.options.patience));
  }

  std::vector<Text> run(const std::vector<Task>& tasks, const Cancellation& cancellation) {
    std::vector<Hunt> hunts;
    for (const Task& task : tasks) hunts.push_back({&task, {{begun(task), task.slots, task.prompt.back()}}, {}});
    for (bool first = true; std::any_of(hunts.begin(), hunts.end(), [](const Hunt& one) { return !one.over; }); first = false) {
      cancellation.check();
      step(hunts, first, cancellation);
    }
    std::vector<Text> best;
    for (Hunt& hunt : hunts) {
      best.push_back(std::move(*std::max_element(hunt.finished.begin(), hunt.finished.end(),
                                                 [](const Text& a, const Text& b) { return a.score < b.score; })));
    }
    return best;
  }

 private:
  // Every beam of every task one token on.
  void step(std::vector<Hunt>& hunts, bool first, const Cancellation& cancellation) {
    std::vector<Row> rows;
    std::vector<const Text*> texts;
    for (Hunt& hunt : hunts) {
      if (hunt.over) continue;
      for (Beam& beam : hunt.beams) {
        beam.slots.push_back(cache_.take());
        const int count = static_cast<int>(beam.slots.size());
        rows.push_back({beam.next, count - 1, beam.slots.data(), count, hunt.task->audio});
        texts.push_back(&beam.text);
      }
    }
    float* hidden = hidden_.get<float>(rows.size() * static_cast<size_t>(model_.shape.width));
    decode(model_, work_, cache_, rows, cancellation, hidden);
    Candidates candidates(model_, search_, work_);
    const auto following = candidates.best(hidden, texts, first, static_cast<int>(2 * beams_));
    const std::vector<Candidate>* row = following.data();
    for (Hunt& hunt : hunts) {
      if (hunt.over) continue;
      const size_t count = hunt.beams.size();
      choose(hunt, ways_of(hunt, row, beams_, first, model_.tokens.end_of_text));
      row += count;
    }
  }

  // The task's next beams from the best ways on; what ends is kept.
  void choose(Hunt& hunt, const std::vector<Way>& ways) {
    const int end = model_.tokens.end_of_text;
    const bool last = static_cast<int>(hunt.beams[0].text.tokens.size()) + 1 >= hunt.task->most;
    std::vector<Beam> next;
    size_t secondary = beams_;
    for (size_t k = 0; k < beams_ && k < ways.size(); ++k) {
      const Way* way = &ways[k];
      const bool ends = way->next.token == end;
      if (ends || last) {
        if (k == 0) hunt.top_finished = true;
        finish(hunt, *way, ends);
        while (secondary < ways.size() && ways[secondary].next.token == end) ++secondary;
        if (secondary >= ways.size()) continue;  // of fewer ways than 2 x beams
        way = &ways[secondary++];
      }
      const Beam& from = hunt.beams[way->from];
      next.push_back({followed(from.text, *way, true), from.slots, way->next.token});
    }
    hunt.over = last || next.empty() || enough(hunt);
    if (hunt.over) next.clear();
    give_back_unused(hunt.beams, next);
    hunt.beams = std::move(next);
  }

  void finish(Hunt& hunt, const Way& way, bool ends) {
    Text text = followed(hunt.beams[way.from].text, way, !ends);
    text.finished = ends;
    text.score = search_.score(text.total, text.tokens.size());
    hunt.finished.push_back(std::move(text));
  }

  bool enough(const Hunt& hunt) const {
    if (search_.options.length_penalty == 0) return hunt.top_finished && !hunt.finished.empty();
    return static_cast<long>(hunt.finished.size()) >= enough_;
  }

  void give_back_unused(const std::vector<Beam>& before, const std::vector<Beam>& after) {
    used_.resize(static_cast<size_t>(cache_.slots()), 0);
    for (const Beam& beam : after) {
      for (const int slot : beam.slots) used_[static_cast<size_t>(slot)] = 1;
    }
    for (const Beam& beam : before) {
      for (const int slot : beam.slots) {
        if (!used_[static_cast<size_t>(slot)]) cache_.give_back(slot);
        used_[static_cast<size_t>(slot)] = 1;  // once
      }
    }
    for (const Beam& beam : before) {
      for (const int slot : beam.slots) used_[static_cast<size_t>(slot)] = 0;
    }
  }

  const Model& model_;
  Workspace& work_;
  Cache& cache_;
  const Search& search_;
  size_t beams_;
  long enough_;
  Buffer hidden_;
  std::vector<char> used_;
};

}  // namespace

std::vector<Text> beam_search(const Model& model, Workspace& work, Cache& cache, const std::vector<Task>& tasks,
                              const Search& search, const Cancellation& cancellation) {
  return BeamSearch(model, work, cache, search).run(tasks, cancellation);
}

}  // namespace awc

// Keys and values of the decoder's self-attention, in slots: one slot holds those of one token in every layer, and is
// never moved. A beam is a list of slots; slots that no beam has any more are used again.
#pragma once

#include <memory>
#include <vector>

#include "../kernels/kernels.h"

namespace awc {

class Cache {
 public:
  Cache(int layers, int D) : layers_(layers), D_(D) {}

  // A free slot. Throws std::bad_alloc.
  int take();
  void give_back(int slot) { free_.push_back(slot); }

  // The values of a slot: bfloat16[layers][2][D], keys before values
  uint16_t* slot(int n) const { return blocks_[static_cast<size_t>(n) / kSlots].get() + (static_cast<size_t>(n) % kSlots) * slot_size(); }
  size_t keys_at(int layer) const { return static_cast<size_t>(layer) * 2 * D_; }
  size_t values_at(int layer) const { return keys_at(layer) + D_; }

  int slots() const { return count_; }
  static size_t slot_bytes(int layers, int D) { return sizeof(uint16_t) * static_cast<size_t>(layers) * 2 * D; }

 private:
  static constexpr size_t kSlots = 16;  // in one block of memory
  struct Free {
    void operator()(uint16_t* block) const { ::operator delete(block, std::align_val_t{64}); }
  };
  size_t slot_size() const { return static_cast<size_t>(layers_) * 2 * D_; }

  int layers_, D_, count_ = 0;
  std::vector<std::unique_ptr<uint16_t[], Free>> blocks_;
  std::vector<int> free_;
};

inline int Cache::take() {
  if (free_.empty()) {
    auto* block = static_cast<uint16_t*>(::operator new(kSlots * slot_bytes(layers_, D_), std::align_val_t{64}));
    std::unique_ptr<uint16_t[], Free> owned(block);
    blocks_.push_back(std::move(owned));
    free_.reserve(kSlots * blocks_.size());  // giving back must not fail
    for (size_t n = kSlots; n-- > 0;) free_.push_back(count_ + static_cast<int>(n));
    count_ += static_cast<int>(kSlots);
  }
  const int slot = free_.back();
  free_.pop_back();
  return slot;
}

}  // namespace awc

#include "store/reaper.h"

#include <new>
#include <utility>
#include <vector>

#include "store/update.h"

namespace keystone {

namespace {

constexpr size_t kKeysAtOnce = 256;

// To delete what does not exist is to delete what has expired.
class DeleteExpired : public Update {
 public:
  Effect Decide(const Held& held) override {
    return {.kind = held.exists ? Effect::Kind::kNone : Effect::Kind::kDelete};
  }
};

}  // namespace

// Where memory runs out, it is as if nobody had looked.
void Reaper::Note(std::string_view key) {
  const std::lock_guard lock(mutex_);
  if (found_.size() >= kMostKeys || bytes_ + key.size() > kMostBytes || found_.contains(key)) {
    return;
  }
  try {
    found_.emplace(key);
    bytes_ += key.size();
  } catch (const std::bad_alloc&) {
    return;
  }
}

Reaper::Keys Reaper::Take() {
  const std::lock_guard lock(mutex_);
  bytes_ = 0;
  return std::exchange(found_, {});
}

void Reaper::Reap(const Apply& apply) {
  const Keys keys = Take();
  DeleteExpired update;
  for (auto next = keys.begin(); next != keys.end();) {
    std::vector<Batch> batches(kKeysAtOnce);
    std::vector<Batch*> pointers;
    for (; next != keys.end() && pointers.size() < kKeysAtOnce; ++next) {
      Batch& batch = batches[pointers.size()];
      // Who has noted it has had the record checked; to check a large value again would hold up
      // all writers.
      batch.Change(*next, &update, 0, Needs::kClaim);
      pointers.push_back(&batch);
    }
    apply(pointers);
    for (Batch* batch : pointers) {
      if (!batch->status().ok()) Note(batch->operations()[0].key);
    }
  }
}

}  // namespace keystone

#include "net/transaction.h"

#include <algorithm>

#include "store/batch.h"

namespace keystone {

namespace {

// What a short request costs beside its bytes.
constexpr size_t kOverhead = sizeof(KeptRequest) + 64;

// What becomes of a key at the commit.
constexpr size_t kWordOverhead = sizeof(KeyUpdate) + sizeof(Operation);

size_t CostOfWatching(std::string_view key) {
  return key.size() + sizeof(Transaction::Watched) + kWordOverhead;
}

Effect CheckUnchanged(const Held& held, KeyUpdate* update) {
  const uint64_t sequence = update->request().sequence;
  const bool same = held.exists ? sequence != 0 && held.sequence == sequence : sequence == 0;
  if (!same) update->reply()->kind = Reply::Kind::kNil;
  return {.kind = same ? Effect::Kind::kNone : Effect::Kind::kSkip};
}

}  // namespace

// What is refused takes none of the room.
Status Transaction::Charge(size_t bytes, size_t limit) {
  if (bytes > limit - std::min(bytes_, limit)) {
    return {Code::kInvalid,
            "transaction too big: the limit is " + std::to_string(limit) + " bytes"};
  }
  bytes_ += bytes;
  return Status::Ok();
}

Status Transaction::Add(Protocol protocol, std::string_view bytes, size_t words, size_t limit) {
  Status status = Charge(bytes.size() + kOverhead + words * kWordOverhead, limit);
  if (status.ok()) requests_.emplace_back(protocol, bytes);
  return status;
}

Status Transaction::Watch(std::string_view key, uint64_t sequence, size_t limit) {
  Status status = Charge(CostOfWatching(key), limit);
  if (status.ok()) watched_.push_back({std::string(key), sequence});
  return status;
}

void Transaction::Unwatch() {
  for (const Watched& watched : watched_) bytes_ -= CostOfWatching(watched.key);
  watched_.clear();
}

size_t Transaction::QueueGuards(Writes* writes) const {
  for (const Watched& watched : watched_) {
    writes->Look(watched.key, CheckUnchanged, {.key = watched.key, .sequence = watched.sequence},
                 Needs::kPresence);
  }
  return watched_.size();
}

void Transaction::Guard(size_t guards, Writes* writes) {
  auto& operations = writes->batch().operations();
  for (size_t i = 0; i < guards; i++) {
    operations[i].guards = static_cast<uint32_t>(operations.size() - i - 1);
  }
}

}  // namespace keystone

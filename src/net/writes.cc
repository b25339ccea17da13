#include "net/writes.h"

#include <utility>

namespace keystone {

namespace {

// What an idle client may hold on to.
constexpr size_t kKeptOperations = 64;

}  // namespace

bool KeyUpdate::MakeRoom(size_t size) {
  *room_ += std::exchange(taken_, 0);  // of an earlier try
  bytes_.clear();
  if (size > *room_) {
    reply_ = Reply();
    reply_.status = {Code::kInvalid, "too much is read at once: split the transaction"};
    return false;
  }
  *room_ -= taken_ = size;
  bytes_.reserve(size);
  return true;
}

void Writes::Clear() {
  copies_ = rewrites_ = 0;
  batch_.Clear();
  replies_.clear();
  if (!updates_.empty()) std::deque<KeyUpdate>().swap(updates_);
  if (batch_.operations().capacity() > kKeptOperations) batch_ = Batch();
  if (replies_.capacity() > kKeptOperations) std::vector<PendingReply>().swap(replies_);
}

}  // namespace keystone

#include "net/writes.h"

namespace keystone {

namespace {

// What an idle client may hold on to.
constexpr size_t kKeptOperations = 64;

}  // namespace

void Writes::Clear() {
  batch_.Clear();
  replies_.clear();
  if (!updates_.empty()) std::deque<KeyUpdate>().swap(updates_);
  if (batch_.operations().capacity() > kKeptOperations) batch_ = Batch();
  if (replies_.capacity() > kKeptOperations) std::vector<PendingReply>().swap(replies_);
}

}  // namespace keystone

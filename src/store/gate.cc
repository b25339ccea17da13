#include "store/gate.h"

namespace keystone {

namespace {

// Spreads threads over the lanes in the order in which they first pass any gate.
size_t OwnLane() {
  static std::atomic<size_t> next{0};
  thread_local const size_t lane = next.fetch_add(1, std::memory_order_relaxed);
  return lane;
}

}  // namespace

// Enter and Close each write their side and then read the other's, all sequentially consistent, so
// at least one of the two sees the other.
size_t Gate::Enter() {
  const size_t lane = OwnLane() % lanes_.size();
  lanes_[lane].inside.fetch_add(1);
  while (closed_.load()) {
    Leave(lane);
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !closed_.load(); });
    }
    lanes_[lane].inside.fetch_add(1);
  }
  return lane;
}

void Gate::Leave(size_t lane) {
  lanes_[lane].inside.fetch_sub(1);
  if (!closed_.load()) return;
  const std::lock_guard lock(mutex_);
  changed_.notify_all();
}

void Gate::Close() {
  std::unique_lock lock(mutex_);
  closed_.store(true);
  changed_.wait(lock, [this] { return Empty(); });
}

void Gate::Open() {
  const std::lock_guard lock(mutex_);
  closed_.store(false);
  changed_.notify_all();
}

bool Gate::Empty() const {
  for (const Lane& lane : lanes_) {
    if (lane.inside.load() != 0) return false;
  }
  return true;
}

}  // namespace keystone

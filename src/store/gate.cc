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

// Enter writes its side and then reads what Close and Drain write before they read that, all
// sequentially consistent: so at least one of the two sees the other.
std::atomic<int64_t>* Gate::Enter() {
  Lane& lane = lanes_[OwnLane() % lanes_.size()];
  for (;;) {
    const unsigned state = state_.load();
    if ((state & kClosed) != 0) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return (state_.load() & kClosed) == 0; });
      continue;
    }
    std::atomic<int64_t>* const inside = &lane.inside[(state & kSide) != 0 ? 1 : 0];
    inside->fetch_add(1);
    if (state_.load() == state) return inside;
    Leave(inside);
  }
}

void Gate::Leave(std::atomic<int64_t>* inside) {
  if (inside->fetch_sub(1) != 1 || !watched_.load()) return;
  const std::lock_guard lock(mutex_);
  changed_.notify_all();
}

void Gate::Close() {
  changer_.lock();
  std::unique_lock lock(mutex_);
  watched_.store(true);
  state_.fetch_or(kClosed);
  changed_.wait(lock, [this] { return Empty(0) && Empty(1); });
  watched_.store(false);
}

void Gate::Open() {
  {
    const std::lock_guard lock(mutex_);
    state_.fetch_and(~kClosed);
    changed_.notify_all();
  }
  changer_.unlock();
}

// Newcomers go to the other side, which has to be empty by then: who is there was inside before a
// drain that gave up.
template <class WaitUntil>
bool Gate::Drain(const WaitUntil& wait_until) {
  const std::lock_guard changer(changer_);
  std::unique_lock lock(mutex_);
  watched_.store(true);
  const size_t side = (state_.load() & kSide) != 0 ? 1 : 0;
  bool drained = wait_until(&lock, [&] { return Empty(1 - side); });
  if (drained) {
    state_.fetch_xor(kSide);
    drained = wait_until(&lock, [&] { return Empty(side); });
  }
  watched_.store(false);
  return drained;
}

void Gate::Drain() {
  Drain([this](auto* lock, const auto& empty) {
    changed_.wait(*lock, empty);
    return true;
  });
}

bool Gate::DrainWithin(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  return Drain(
      [&](auto* lock, const auto& empty) { return changed_.wait_until(*lock, deadline, empty); });
}

bool Gate::Empty(size_t side) const {
  for (const Lane& lane : lanes_) {
    if (lane.inside[side].load() != 0) return false;
  }
  return true;
}

}  // namespace keystone

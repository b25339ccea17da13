#include "base/clock.h"

#include <atomic>
#include <ctime>

namespace keystone {

namespace {

int64_t Nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Of the wall clock over the steady one; only grows. One a process: what one thread has seen to be
// over, another must not see in the future.
std::atomic<int64_t> offset_ns{0};

int64_t GrowTo(int64_t least) {
  int64_t offset = offset_ns.load();
  while (offset < least && !offset_ns.compare_exchange_weak(offset, least)) continue;
  return offset < least ? least : offset;
}

}  // namespace

uint64_t UnixTimeMs() {
  // In this order what passes between the two makes the offset smaller, which changes nothing.
  const int64_t wall_ns = Nanoseconds(CLOCK_REALTIME);
  const int64_t steady_ns = Nanoseconds(CLOCK_MONOTONIC);
  return static_cast<uint64_t>(steady_ns + GrowTo(wall_ns - steady_ns)) / 1'000'000;
}

}  // namespace keystone

#include "net/once_a_minute.h"

#include <chrono>

namespace keystone {

bool OnceAMinute::Now() {
  using std::chrono::milliseconds;
  constexpr milliseconds kMinute{60'000};
  const int64_t now =
      std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count();
  int64_t next = next_ms_.load(std::memory_order_relaxed);
  return now >= next &&
         next_ms_.compare_exchange_strong(next, now + kMinute.count(), std::memory_order_relaxed);
}

}  // namespace keystone

// For what would otherwise fill a log.
#ifndef KEYSTONE_NET_ONCE_A_MINUTE_H_
#define KEYSTONE_NET_ONCE_A_MINUTE_H_

#include <atomic>
#include <cstdint>

namespace keystone {

// Says yes at most once a minute. Thread-safe.
class OnceAMinute {
 public:
  bool Now();

 private:
  std::atomic<int64_t> next_ms_{0};  // of the steady clock
};

}  // namespace keystone

#endif  // KEYSTONE_NET_ONCE_A_MINUTE_H_

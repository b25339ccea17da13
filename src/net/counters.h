// What the STATS of one connection count.
//
// One thread at a time writes a counter, any thread may read it: relaxed atomics with a single
// writer, so counting costs the hot path no shared cache line. The registry sums them when asked.
#ifndef KEYSTONE_NET_COUNTERS_H_
#define KEYSTONE_NET_COUNTERS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace keystone {

class Counter {
 public:
  // The writing thread only.
  void Add(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// What came of the writes of memcached's clients.
enum class Outcome : uint8_t {
  kDeleteHit,
  kDeleteMiss,
  kIncrHit,
  kIncrMiss,
  kDecrHit,
  kDecrMiss,
  kCasHit,
  kCasMiss,
  kCasBadValue,
  kTouchHit,
  kTouchMiss,
};
inline constexpr size_t kOutcomes = static_cast<size_t>(Outcome::kTouchMiss) + 1;

struct Counters {
  Counter commands_get;
  Counter commands_set;
  Counter commands_delete;
  Counter commands_other;
  Counter get_hits;
  Counter get_misses;
  Counter protocol_errors;
  Counter bytes_read;
  Counter bytes_written;
  Counter flushes;  // flush_all
  std::array<Counter, kOutcomes> outcomes;

  Counter& Of(Outcome outcome) { return outcomes[static_cast<size_t>(outcome)]; }

  // The thread that owns *this only.
  void AddAll(const Counters& other) {
    commands_get.Add(other.commands_get.Get());
    commands_set.Add(other.commands_set.Get());
    commands_delete.Add(other.commands_delete.Get());
    commands_other.Add(other.commands_other.Get());
    get_hits.Add(other.get_hits.Get());
    get_misses.Add(other.get_misses.Get());
    protocol_errors.Add(other.protocol_errors.Get());
    bytes_read.Add(other.bytes_read.Get());
    bytes_written.Add(other.bytes_written.Get());
    flushes.Add(other.flushes.Get());
    for (size_t i = 0; i < kOutcomes; ++i) outcomes[i].Add(other.outcomes[i].Get());
  }
};

}  // namespace keystone

#endif  // KEYSTONE_NET_COUNTERS_H_

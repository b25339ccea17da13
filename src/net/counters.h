// What the STATS of one connection count.
//
// One thread writes an object, any thread may read it: relaxed atomics with a single writer, so
// counting costs the hot path no shared cache line. The registry sums them when asked.
#ifndef KEYSTONE_NET_COUNTERS_H_
#define KEYSTONE_NET_COUNTERS_H_

#include <atomic>
#include <cstdint>

namespace keystone {

class Counter {
 public:
  // The owning thread only.
  void Add(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

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
  }
};

}  // namespace keystone

#endif  // KEYSTONE_NET_COUNTERS_H_

// What happens where a mapped file can't be read.
//
// A bad sector under a mapping, or an end of the file that another program has cut off, is SIGBUS
// for whoever reads there, and the end of the process. Once the guard is installed, that page of a
// Mapping reads as zeros instead, for as long as the mapping lives: checksums tell. The mapping
// counts such pages. SIGBUS anywhere else does what it did before.
//
// Thread-safe. To install it is main's decision: a library leaves signals to its program.
#ifndef KEYSTONE_BASE_BUS_GUARD_H_
#define KEYSTONE_BASE_BUS_GUARD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/status.h"

namespace keystone {

class BusGuard {
 public:
  // A mapping that is guarded. Never freed, but used again: the handler may look at it at any time.
  struct Region {
    std::atomic<uintptr_t> begin{0};
    std::atomic<size_t> size{0};  // 0: not in use
    std::atomic<uint64_t> faults{0};
    Region* next = nullptr;  // of all; constant once it is among them
    Region* next_unused = nullptr;
  };

  // For the whole process, once, before it has threads.
  static Status Install();

  static Region* Add(const void* data, size_t size_bytes);
  static void Remove(Region* region);

  // Pages of all mappings, ever.
  static uint64_t faults();
};

}  // namespace keystone

#endif  // KEYSTONE_BASE_BUS_GUARD_H_

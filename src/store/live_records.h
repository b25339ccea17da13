// Where all live records are, in the order of the log: the index, sorted by place.
//
// For a compaction that has the store to itself. Takes 16 bytes a key. To sort the index once costs
// much less than to ask it for each record of the log, live or dead.
//
// To be used while nobody changes the index. Threads may read, and each change entries of its own.
#ifndef KEYSTONE_STORE_LIVE_RECORDS_H_
#define KEYSTONE_STORE_LIVE_RECORDS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "store/index.h"
#include "store/segment_set.h"

namespace keystone {

class LiveRecords {
 public:
  struct Entry {
    Index::Slot slot;     // that points at it
    uint64_t offset = 0;  // in its segment
  };

  // Once. `segments` are all that the index points into. Uses up to `workers` threads. Where
  // memory runs out: kSystem, or std::bad_alloc.
  Status Collect(const Index& index, const SegmentSet::List& segments, size_t workers);

  size_t size() const { return begins_.empty() ? 0 : begins_.back(); }
  Entry& operator[](size_t i) { return entries_[i]; }
  const Entry& operator[](size_t i) const { return entries_[i]; }

  // The entries from begin(i) on, and before begin(i + 1), are those of segments[i].
  size_t begin(size_t segment) const { return begins_[segment]; }

 private:
  std::unique_ptr<Entry[]> entries_;
  std::vector<size_t> begins_;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_LIVE_RECORDS_H_

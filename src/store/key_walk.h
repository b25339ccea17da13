// The keys of a store, one after the other in the order of its index.
//
// A walk is one thread's, which passes the gate for each step: whatever is written between two
// steps, each key that exists all the while is visited once. What has expired does not exist.
#ifndef KEYSTONE_STORE_KEY_WALK_H_
#define KEYSTONE_STORE_KEY_WALK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "store/index.h"
#include "store/reaper.h"
#include "store/segment_set.h"

namespace keystone {

class KeyWalk {
 public:
  using Visitor = std::function<void(std::string_view key)>;  // good during the call

  // From `cursor` on, 0: the beginning. Borrows everything; `reaper` gets what has expired.
  KeyWalk(const Index* index, const SegmentSet* segments, Reaper* reaper, const Log* log,
          uint64_t cursor = 0)
      : index_(index), segments_(segments), reaper_(reaper), log_(log), cursor_(cursor) {}

  // Looks at `count` keys, or a few more, and visits those that exist. Reads each one's record, but
  // not its value. kCorrupt: a key is damaged on disk; kIo: it can't be read.
  Status Step(size_t count, const Visitor& visit);

  // Where the next step begins, good for another walk at any time; 0: there is none.
  uint64_t cursor() const { return cursor_; }

 private:
  Status Visit(const Index::Entry& entry, const Visitor& visit);
  bool IsExpired(const RecordView& record);
  void Prefetch(const Index::Entry& entry) const;
  Status Damage(const Segment* segment, Location where) const;

  const Index* const index_;
  const SegmentSet* const segments_;
  Reaper* const reaper_;
  const Log* const log_;

  uint64_t cursor_;
  uint64_t now_ms_ = 0;  // of the step at hand; 0: not asked for yet
  std::vector<Index::Entry> entries_;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_KEY_WALK_H_

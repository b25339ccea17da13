// Moves all live records into new segments, in the order of the log, while nobody else uses the
// store.
//
// It goes by the index, so that dead records cost nothing: they are not even read. What has expired
// is left out, and goes from the index in the end. Neighbouring live groups are written as they
// are. A group of which only a part lives is written as single records, because being one group
// would tie the rest to whatever comes next. Tombstones and sync marks are left behind: there is no
// older segment left for a tombstone to hide.
//
// Several threads work on successive parts, each of which makes segments of its own. Nothing of the
// old log is touched here. The steps around it - MANIFEST, unlink - are the caller's.
#ifndef KEYSTONE_STORE_MOVER_H_
#define KEYSTONE_STORE_MOVER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "store/directory.h"
#include "store/index.h"
#include "store/live_records.h"
#include "store/segment_set.h"

namespace keystone {

class Mover {
 public:
  // Borrows everything. What expires later than `now_ms` lives; once `cancelled`, Copy ends soon.
  Mover(Directory* directory, Index* index, uint64_t segment_size_bytes, uint64_t now_ms,
        const std::atomic<bool>* cancelled);
  ~Mover();

  // Copies what is live in `old`, all segments there are, to new ones, synced and under their
  // names. kCorrupt where a live record is damaged: that is never copied. kSystem where it takes
  // too many segments, or memory; kCancelled, kNoSpace, kIo as it comes.
  Status Copy(const SegmentSet::List& old);

  // The new segments, in replay order. They go with the mover unless they are kept.
  SegmentSet::List outputs() const;
  void Keep();

  // Points the index at the new places, and drops from it what has expired. To be called once
  // SegmentSet::Swap has made the outputs findable.
  void Relocate();

 private:
  class Part;

  Status CopyAll();
  void Divide(size_t count);
  bool CanBeginAt(size_t entry) const;

  Directory* const directory_;
  Index* const index_;
  const uint64_t segment_size_bytes_;
  const uint64_t now_ms_;
  const std::atomic<bool>* const cancelled_;

  SegmentSet::List old_;
  LiveRecords live_;
  std::vector<std::unique_ptr<Part>> parts_;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_MOVER_H_

// The segments that a compaction writes, one after the other: records go to the last one until it
// is full.
//
// One thread. What was added must stay where it is until Flush. Unless they are kept, the segments
// take their files with them, whatever has gone wrong.
#ifndef KEYSTONE_STORE_NEW_SEGMENTS_H_
#define KEYSTONE_STORE_NEW_SEGMENTS_H_

#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "store/directory.h"
#include "store/gather.h"
#include "store/record.h"
#include "store/segment_set.h"

namespace keystone {

class NewSegments {
 public:
  NewSegments(Directory* directory, uint64_t segment_size_bytes)
      : directory_(directory), segment_size_bytes_(segment_size_bytes) {}
  ~NewSegments();
  NewSegments(const NewSegments&) = delete;
  NewSegments& operator=(const NewSegments&) = delete;

  // Adds whole groups, or a record without the group that it was part of. Tells the offset that
  // the first of it has in the last segment. kSystem where there are too many segments.
  Result<uint64_t> AddWhole(std::string_view bytes, uint64_t first_sequence);
  Result<uint64_t> AddSingle(const RecordView& record);

  // Adds a segment without records.
  Status AddEmpty(uint64_t first_sequence);

  // Writes what was added.
  Status Flush();

  // The same, then syncs the segments and gives them their names.
  Status Finish();

  // A MANIFEST may name them.
  void Keep() { kept_ = true; }

  const SegmentSet::List& all() const { return segments_; }

 private:
  Result<uint64_t> MakeRoom(uint64_t size_bytes, uint64_t first_sequence);
  Status Begin(uint64_t first_sequence, uint64_t size_bytes);
  Status FinishOne(size_t number);

  Directory* const directory_;
  const uint64_t segment_size_bytes_;
  SegmentSet::List segments_;
  bool kept_ = false;
  size_t finished_ = 0;            // of the segments, the first ones
  Gather gather_;                  // not yet written to the last segment
  uint64_t writeback_offset_ = 0;  // of the last segment: the kernel writes what is before
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_NEW_SEGMENTS_H_

// Writes what is kept of damaged segments into new ones.
//
// Several sources are merged by sequence; what more than one of them has is written once. Sync
// marks are left behind, as in a compaction: what they claim is of another file, and all of the new
// one is synced before a MANIFEST names it.
//
// Borrows everything. One thread.
#ifndef KEYSTONE_LOG_REWRITER_H_
#define KEYSTONE_LOG_REWRITER_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "log/survey.h"
#include "store/gather.h"
#include "store/record.h"
#include "store/segment_set.h"

namespace keystone {

class Rewriter {
 public:
  // Numbers above `last_number` are free.
  Rewriter(std::string directory, const StoreId& store_id, uint64_t last_number)
      : directory_(std::move(directory)), store_id_(store_id), last_number_(last_number) {}

  // New segments of all that is kept of `sources`, synced and under their names; none where nothing
  // is kept. The directory is the caller's to sync. After an error its files are gone.
  // kIo, too: a source can't be read any more.
  Result<SegmentSet::List> Rewrite(std::span<const Source* const> sources);

  // A segment without records, in the same way.
  Result<SegmentSet::List> MakeActive(uint64_t first_sequence);

 private:
  // A group that is whole, or one record.
  struct Unit {
    std::vector<RecordView> records;
    std::string_view bytes;
    bool whole = true;
  };

  class Reader;

  Status Merge(std::span<const Source* const> sources);
  Status Write(const Unit& unit);
  Status WriteWhole(const Unit& unit);
  Status WriteSingle(const RecordView& record);
  Status MakeRoom(uint64_t size_bytes, uint64_t first_sequence);
  Status Begin(uint64_t first_sequence, uint64_t capacity_bytes);
  Status FinishLast();

  const std::string directory_;
  const StoreId store_id_;
  uint64_t last_number_;

  SegmentSet::List outputs_;
  uint64_t capacity_bytes_ = 0;
  uint64_t last_sequence_ = 0;  // written so far
  Gather gather_;               // not yet written to the last output
};

}  // namespace keystone

#endif  // KEYSTONE_LOG_REWRITER_H_

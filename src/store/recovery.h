// From a data directory to a store: MANIFEST and segments -> index.
//
// Decides by keystone-log(5)'s table what a crash explains (a torn tail is cut off and kept aside,
// leftovers are removed) and what it does not (refused with kCorrupt; nothing is changed).
//
// Used once, by the thread that opens the store.
#ifndef KEYSTONE_STORE_RECOVERY_H_
#define KEYSTONE_STORE_RECOVERY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "store/directory.h"
#include "store/index.h"
#include "store/scanner.h"
#include "store/segment_set.h"
#include "store/store.h"

namespace keystone {

struct Recovered {
  uint64_t next_sequence = 1;
  uint64_t records = 0;
  uint64_t truncated_bytes = 0;
  uint64_t duration_us = 0;
};

class Recovery {
 public:
  // Borrows everything until Run returns.
  Recovery(Directory* directory, uint64_t segment_size_bytes, SegmentSet* segments, const Log* log,
           const RecoveryCallback* progress);

  // Reads the MANIFEST, or starts a new store. Then directory->manifest() says the index's seed.
  Status OpenDirectory();

  // Opens and replays all segments into `index`, and leaves the active one ready for appends.
  Status Replay(Index* index, Recovered* recovered);

 private:
  Status CheckNoSegments();
  Status StartNewStore();
  Status OpenSegments();
  Status ReplaySegment(Segment* segment, bool active, Index* index);
  Status Apply(const Segment& segment, std::span<const PlacedRecord> group, Index* index);
  Status EndSegment(Segment* segment, bool active, const ScanEnd& end);
  Status CutTail(Segment* segment, const ScanEnd& end);
  Status Refuse(const Segment& segment, const ScanEnd& end) const;
  Status FindLeftovers();
  Status RemoveLeftovers();
  bool Report(uint64_t bytes_done);

  Directory* const directory_;
  const uint64_t segment_size_bytes_;
  SegmentSet* const segments_;
  const Log* const log_;
  const RecoveryCallback* const progress_;

  Recovered recovered_;
  std::vector<std::string> leftovers_;
  uint64_t bytes_done_ = 0;  // of the segments before the one at hand
  uint64_t bytes_total_ = 0;
  uint64_t next_look_ = 0;  // at the clock, in bytes done
  uint64_t next_report_us_ = 0;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_RECOVERY_H_

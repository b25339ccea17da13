// From a data directory to a store: MANIFEST, segments and hints -> index.
//
// Decides by keystone-log(5)'s table what a crash explains (a torn tail is cut off and kept aside,
// leftovers are removed) and what it does not (refused with kCorrupt; nothing is changed).
//
// Used once, by the thread that opens the store.
#ifndef KEYSTONE_STORE_RECOVERY_H_
#define KEYSTONE_STORE_RECOVERY_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "store/directory.h"
#include "store/index.h"
#include "store/replay.h"
#include "store/reserve.h"
#include "store/scanner.h"
#include "store/segment_set.h"
#include "store/store.h"

namespace keystone {

struct Recovered {
  uint64_t next_sequence = 1;
  uint64_t records = 0;
  uint64_t truncated_bytes = 0;
  uint64_t duration_us = 0;
  SegmentSet::List without_hint;  // sealed segments that should have one
};

class Recovery {
 public:
  // Borrows everything until Replay returns. `reserve` is opened only where the disk is full.
  Recovery(Directory* directory, Reserve* reserve, uint64_t segment_size_bytes,
           SegmentSet* segments, const Log* log, const RecoveryCallback* progress);

  // Reads the MANIFEST, or starts a new store. Then directory->manifest() says the index's seed.
  Status OpenDirectory();

  // Opens and replays all segments into `index`, and leaves the active one ready for appends.
  Status Replay(Index* index, Recovered* recovered);

 private:
  Status CheckNoSegments();
  static Status CheckReadable(const SegmentSet::List& segments);
  Status StartNewStore();
  Status OpenSegments();
  Status EndSegment(Segment* segment, const ScanEnd& end);
  Status CutTail(Segment* segment, const ScanEnd& end);
  Status KeepAside(std::string_view tail, const std::string& wanted_path, std::string* path);
  Status FindLeftovers();
  Status RemoveLeftovers();
  Status RemoveHints(const SegmentSet::List& segments);
  bool IsListed(uint64_t number) const;

  Directory* const directory_;
  Reserve* const reserve_;
  const uint64_t segment_size_bytes_;
  SegmentSet* const segments_;
  const Log* const log_;
  const RecoveryCallback* const progress_;

  Recovered recovered_;
  std::vector<std::string> leftovers_;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_RECOVERY_H_

// What can be kept of a segment's records, and what is lost.
//
// A record is kept where header and body are intact and its sequence is higher than that of the one
// before, and one that its segment can have. Headers that hold lead from record to record; behind
// one that does not, resync.h finds the next. A group that has lost a record is none any more: what
// stands before the damage is kept as records of their own, what stands behind as the group that is
// left.
//
// But at the end of the active segment, damage that no sync mark claims and that no whole group
// follows is a torn tail: recovery cuts it from the beginning of its group on, and nothing of that
// group is kept.
//
// Pure.
#ifndef KEYSTONE_LOG_SALVAGE_H_
#define KEYSTONE_LOG_SALVAGE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "log/resync.h"

namespace keystone {

// Records in a row. Offsets are those of the segment's file.
struct KeptRun {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t records = 0;
  bool whole_groups = true;  // else each record is to stand for itself, whatever its flag says
};

// Bytes that are no record any more.
struct LostBytes {
  uint64_t begin = 0;
  uint64_t end = 0;
  std::string reason;
  // What may be lost. first > last: no sequence is missing. 0 as the last: nothing is known.
  uint64_t first_sequence = 0;
  uint64_t last_sequence = 0;
  // Where only the body is damaged. The key may be what is damaged in it.
  std::optional<std::string> key;
};

struct Salvage {
  std::vector<KeptRun> kept;
  std::vector<LostBytes> lost;
  uint64_t records = 0;          // kept ones
  uint64_t first_sequence = 0;   // of the kept ones; 0: there is none
  uint64_t next_sequence = 1;    // behind the last record whose header holds
  uint64_t unused_sequence = 1;  // behind all that can have been there
  uint64_t tail_offset = 0;      // an active segment's: what is behind is a torn tail, or zeros
  bool tail_is_torn = false;  // told as lost, too, unless the end of the file is all that is wrong
  std::optional<uint64_t> newer_record;  // the offset of one that a newer version wrote
};

// `bytes` is a segment's file, its header included, which is not looked at. `active`: it may end
// in the middle of a group, or in zeros. `range`: what its sequences may be.
Salvage SalvageRecords(std::string_view bytes, bool active, const SequenceRange& range);

}  // namespace keystone

#endif  // KEYSTONE_LOG_SALVAGE_H_

// keystone-log check: is every byte of a log what the daemon wrote?
//
// Reads only. The directory must be locked, or be nobody's. One thread.
#ifndef KEYSTONE_LOG_CHECK_H_
#define KEYSTONE_LOG_CHECK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/manifest.h"
#include "store/scanner.h"
#include "store/segment.h"

namespace keystone {

// A stretch of a segment that can't be read. A group of records is lost as a whole.
struct Damage {
  uint64_t offset = 0;  // of the record that is invalid or missing
  std::string reason;
  uint64_t lost_from = 0;  // offsets: from here on, up to but without lost_to
  uint64_t lost_to = 0;
  uint64_t first_sequence = 0;  // what may be lost
  uint64_t last_sequence = 0;   // 0: not known, nothing can be read behind the damage
};

// "damaged at offset 88: header checksum does not match; lost: 26 bytes from offset 88, ..."
std::string Describe(const Damage& damage);

struct SegmentReport {
  uint64_t records = 0;
  uint64_t last_sequence = 0;  // 0: no record
  std::vector<Damage> damages;
  // What the next start would cut off the active segment. It is damage only where bytes of it are
  // wrong: a tail that merely ends too early is what a killed daemon leaves.
  uint64_t tail_offset = 0;
  uint64_t tail_bytes = 0;
  bool tail_is_damaged = false;  // its bytes are wrong, not only missing
  std::string tail_reason;
};

// "torn tail: 26 bytes at offset 88 (the file ends inside a record), will be cut at start"; the
// report must have one.
std::string DescribeTail(const SegmentReport& report);

// Visits every group that can be read, stepping over damage. Draws the line between damage and a
// torn tail where recovery does.
SegmentReport WalkSegment(const Segment& segment, bool active, const GroupVisitor& visit);

// The MANIFEST, or one without segments where the very first start was interrupted. kCorrupt: it is
// damaged, missing beside segments, or there is no store at all.
Result<Manifest> LoadListedSegments(const std::string& directory);

// Prints a line for each segment. Ok where all are whole or merely end too early, else kCorrupt.
Status Check(const std::string& directory);

}  // namespace keystone

#endif  // KEYSTONE_LOG_CHECK_H_

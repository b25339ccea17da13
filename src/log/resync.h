// Where records go on behind one whose header is damaged, so that its size is not known.
//
// The danger is a value that holds bytes which look like records, a copy of a segment perhaps. So
// the evidence is looked at in this order:
//
//   1. the damaged header's sizes, where the body that they tell of has the header's body_crc;
//   2. the record at the place where they say that the next one is, where its sequence leaves no
//      room for another record before it;
//   3. an intact record at a place to which body_crc holds, whatever the sizes say;
//   4. chains of records, each found where the one before it ends. One whose sequences go down, or
//      are not between those of the intact records around, is no part of the log; where two
//      contradict each other, the one that reaches the end of the file counts.
//
// Pure.
#ifndef KEYSTONE_LOG_RESYNC_H_
#define KEYSTONE_LOG_RESYNC_H_

#include <cstdint>
#include <string_view>

#include "store/record.h"

namespace keystone {

struct SequenceRange {
  uint64_t lowest = 1;
  uint64_t highest = kMaxSequence;

  bool Has(uint64_t sequence) const { return sequence >= lowest && sequence <= highest; }
};

// The offset behind `damaged`, where a record with a damaged header begins, at which the next
// record begins; bytes.size() where none is found. `range`: of the records behind.
uint64_t FindNextRecord(std::string_view bytes, uint64_t damaged, const SequenceRange& range);

}  // namespace keystone

#endif  // KEYSTONE_LOG_RESYNC_H_

// Whether the body of a record that the index points at may be used.
//
// Any thread that has passed the gate.
#ifndef KEYSTONE_STORE_VERIFY_H_
#define KEYSTONE_STORE_VERIFY_H_

#include "base/status.h"
#include "store/record.h"
#include "store/segment_set.h"
#include "store/shard.h"

namespace keystone {

// `where`: the record's place, of which a compaction may have taken the segment out of the log
// meanwhile. kCorrupt: its CRC does not match. kIo: that is so because it can't be read.
Status VerifyBody(const SegmentSet& segments, const RecordView& record, Location where);

}  // namespace keystone

#endif  // KEYSTONE_STORE_VERIFY_H_

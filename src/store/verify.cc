#include "store/verify.h"

#include <string>

#include "base/escape.h"

namespace keystone {

// Damage that comes from what can't be read is no damage on disk.
Status VerifyBody(const SegmentSet& segments, const RecordView& record, Location where) {
  if (BodyIsIntact(record)) return Status::Ok();
  if (const Segment* segment = segments.Find(where.segment)) {
    if (Status status = segment->CheckReadable(); !status.ok()) return status;
  }
  return {Code::kCorrupt, "the value of '" + Escape(record.key) + "', sequence " +
                              std::to_string(record.sequence) +
                              ", is damaged on disk: stop the daemon and run keystone-log check"};
}

}  // namespace keystone
